using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;
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

    /// <summary>The same of AWQ.</summary>
    public static ClipRange Awq { get; } = new(20, 0.5) { HoldsZero = true };

    /// <summary>Whether the range of a group is widened to hold 0, as that of round to nearest is.</summary>
    public bool HoldsZero { get; init; }

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
    // Rows that meet a block of H together, which is then packed once for them.
    private const int RowsTogether = 8;

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
    public static Result Find(double[] residual, int rows, int columns, UniformGrid grid, double[] covariance, ClipRange range, WorkerPool workers) =>
        columns > TruncatedSvd.LargestExact ? FindSingle(residual, rows, columns, grid, covariance, range, workers) : FindDouble(residual, rows, columns, grid, covariance, range, workers);

    /// <summary>As <see cref="Find"/>, in double precision whatever the size.</summary>
    internal static Result FindDouble(double[] residual, int rows, int columns, UniformGrid grid, double[] covariance, ClipRange range, WorkerPool workers)
    {
        int groups = grid.GroupsPerRow(columns), size = RangeGrid.GroupSize(grid, columns), candidates = range.Candidates;
        Result result = Empty(rows, groups);
        workers.Run(rows, row =>
        {
            double[] differences = new double[candidates * size], product = new double[candidates * size], errors = new double[candidates];
            for (int group = 0; group < groups; group++)
            {
                int start = group * size;
                double whole = Candidates(residual.AsSpan((row * columns) + start, size), grid, range, differences);
                // All candidates meet the group's block of H at once.
                QuadraticForm.OfBlock(covariance.AsSpan((start * columns) + start), columns, differences, candidates, size, product, errors);
                Choose(result, (row * groups) + group, whole, range, errors);
            }
        });
        return result;
    }

    /// <summary>As <see cref="Find"/>, with the products in single precision, those of several rows together; differences are parts of the group's largest magnitude.</summary>
    internal static Result FindSingle(double[] residual, int rows, int columns, UniformGrid grid, double[] covariance, ClipRange range, WorkerPool workers)
    {
        int groups = grid.GroupsPerRow(columns), size = RangeGrid.GroupSize(grid, columns), candidates = range.Candidates;
        Result result = Empty(rows, groups);
        var blocks = new float[columns * size];
        for (int i = 0; i < blocks.Length; i++) blocks[i] = (float)covariance[(i / size * columns) + (i / size / size * size) + (i % size)];
        workers.Run((rows + RowsTogether - 1) / RowsTogether, chunk =>
        {
            int first = chunk * RowsTogether, count = Math.Min(RowsTogether, rows - first);
            double[] differences = new double[candidates * size], errors = new double[candidates], wholes = new double[count];
            float[] parts = new float[count * candidates * size], product = new float[parts.Length];
            for (int group = 0; group < groups; group++)
            {
                int start = group * size;
                for (int row = 0; row < count; row++)
                {
                    wholes[row] = Candidates(residual.AsSpan(((first + row) * columns) + start, size), grid, range, differences);
                    double unit = wholes[row] > 0 ? 1 / wholes[row] : 0;
                    Span<float> target = parts.AsSpan(row * differences.Length, differences.Length);
                    for (int i = 0; i < target.Length; i++) target[i] = (float)(differences[i] * unit);
                }
                MatrixProduct.MultiplySerial<float>(parts, size, blocks.AsSpan(start * size, size * size), size, product, size, count * candidates, size, size);
                for (int row = 0; row < count; row++)
                {
                    for (int step = 0; step < candidates; step++)
                    {
                        int at = ((row * candidates) + step) * size;
                        errors[step] = VectorKernels.Dot<float>(product.AsSpan(at, size), parts.AsSpan(at, size)) * wholes[row] * wholes[row];
                    }
                    Choose(result, ((first + row) * groups) + group, wholes[row], range, errors);
                }
            }
        });
        return result;
    }

    private static Result Empty(int rows, int groups) => new(new double[rows * groups], new int[rows * groups], new double[rows * groups]);

    private static double Limit(double whole, int step, ClipRange range) => whole * (1 - ((double)step / range.Grid));

    // What every candidate does to the values of a group, [candidates, size]; returns M0.
    private static double Candidates(ReadOnlySpan<double> values, UniformGrid grid, ClipRange range, Span<double> differences)
    {
        double min = double.PositiveInfinity, max = double.NegativeInfinity;
        foreach (double value in values)
        {
            min = Math.Min(min, value);
            max = Math.Max(max, value);
        }
        double whole = Math.Max(-min, max);
        if (range.HoldsZero) (min, max) = (Math.Min(min, 0), Math.Max(max, 0));
        for (int step = 0; step < range.Candidates; step++)
        {
            double limit = Limit(whole, step, range);
            (double scale, int zero) = RangeGrid.FromRange(Math.Clamp(min, -limit, limit), Math.Clamp(max, -limit, limit), grid);
            RangeGrid.Errors(values, limit, scale, zero, grid.MaxCode, differences.Slice(step * values.Length, values.Length));
        }
        return whole;
    }

    private static void Choose(Result result, int index, double whole, ClipRange range, double[] errors)
    {
        int best = 0;
        for (int step = 1; step < errors.Length; step++)
        {
            if (errors[step] < errors[best]) best = step;
        }
        (result.Limits[index], result.Steps[index], result.Errors[index]) = (Limit(whole, best, range), best, errors[best]);
    }
}
