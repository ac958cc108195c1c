using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Layers;

/// <summary>How many shrunk ranges the clip search tries.</summary>
/// <param name="Grid">Steps into which the range is divided.</param>
/// <param name="MaxShrink">Part of the range that may be cut off.</param>
internal readonly record struct ClipRange(int Grid, double MaxShrink)
{
    /// <summary>32 candidates, down to 0.225 of the range: the first pair of BLC, and every pair of flrq+.</summary>
    public static ClipRange Wide { get; } = new(40, 0.8);

    /// <summary>10 candidates, down to 0.55: the later epochs of the authors' code.</summary>
    public static ClipRange Narrow { get; } = new(20, 0.5);

    /// <summary>Candidates, the whole range included.</summary>
    public int Candidates => (int)(MaxShrink * Grid);
}

/// <summary>
/// The clipping threshold p_clip of BLC (FLRQ, Algorithm 2), searched as in AWQ on the residual R = W - W_r, per row and group:
/// <code>
/// M0 = max|R|;  for s = 0 .. maxShrink grid - 1:  M = M0 (1 - s / grid);  q = Quant(clamp(R, -M, M));  err = mean over tokens (x_g . (q - R))^2
/// </code>
/// The first M with the smallest error is kept. The mean over tokens is d^T H_gg d with the group's block of H = X^T X / tokens: all calibration
/// tokens count, at less cost than a sample of 512.
/// </summary>
internal static class ClipSearch
{
    /// <summary>Result of a search; all arrays are [rows, groups].</summary>
    /// <param name="Limits">M of the best candidate.</param>
    /// <param name="Steps">Its s.</param>
    /// <param name="Errors">Its error.</param>
    public sealed record Result(double[] Limits, int[] Steps, double[] Errors);

    /// <summary>Searches.</summary>
    /// <param name="residual">R, [rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="grid">The integer grid.</param>
    /// <param name="covariance">H, [columns, columns].</param>
    /// <param name="range">Candidates.</param>
    /// <param name="workers">Threads.</param>
    public static Result Find(double[] residual, int rows, int columns, UniformGrid grid, double[] covariance, ClipRange range, WorkerPool workers)
    {
        int groups = grid.GroupsPerRow(columns), size = RangeGrid.GroupSize(grid, columns);
        var result = new Result(new double[rows * groups], new int[rows * groups], new double[rows * groups]);
        workers.Run(rows, row =>
        {
            int candidates = range.Candidates;
            double[] differences = new double[candidates * size], product = new double[candidates * size], errors = new double[candidates];
            for (int group = 0; group < groups; group++)
            {
                int index = (row * groups) + group, start = group * size;
                ReadOnlySpan<double> values = residual.AsSpan((row * columns) + start, size);
                double min = double.PositiveInfinity, max = double.NegativeInfinity;
                foreach (double value in values)
                {
                    min = Math.Min(min, value);
                    max = Math.Max(max, value);
                }
                double whole = Math.Max(-min, max);
                for (int step = 0; step < candidates; step++)
                {
                    double limit = Limit(whole, step);
                    (double scale, int zero) = RangeGrid.FromRange(Math.Clamp(min, -limit, limit), Math.Clamp(max, -limit, limit), grid);
                    RangeGrid.Errors(values, limit, scale, zero, grid.MaxCode, differences.AsSpan(step * size, size));
                }
                // All candidates meet the group's block of H at once.
                QuadraticForm.OfBlock(covariance.AsSpan((start * columns) + start), columns, differences, candidates, size, product, errors);
                int best = 0;
                for (int step = 1; step < candidates; step++)
                {
                    if (errors[step] < errors[best]) best = step;
                }
                (result.Limits[index], result.Steps[index], result.Errors[index]) = (Limit(whole, best), best, errors[best]);
            }
        });
        return result;

        double Limit(double whole, int step) => whole * (1 - ((double)step / range.Grid));
    }
}
