using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>
/// Predicted KL per token of a weight error D with and without a low-rank term: |F D C|^2 less its first squared singular values, F = diag(sqrt(s)).
/// </summary>
internal static class ErrorSpectrum
{
    // Beyond this the leading singular values are found by a random range: a plan needs no more than a few per cent.
    private const int LargestExact = 256;
    private const int PowerIterations = 2;

    /// <summary>The loss with rank 0, 1, ..., ranks.</summary>
    /// <param name="error">D, [rows, n].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="metric">C.</param>
    /// <param name="sensitivity">s, [rows].</param>
    /// <param name="ranks">Largest rank.</param>
    /// <param name="workers">Threads.</param>
    public static double[] Losses(double[] error, int rows, DampedCovariance metric, double[] sensitivity, int ranks, WorkerPool workers)
    {
        int n = metric.Size;
        double[] white = metric.Whiten(error, rows, workers);
        WhitenedFit.ScaleRows(white, [.. sensitivity.Select(Math.Sqrt)], n);
        var losses = new double[ranks + 1];
        losses[0] = white.Sum(value => value * value);
        double[] values;
        if (Math.Min(rows, n) <= LargestExact)
        {
            values = TruncatedSvd.Decompose(white, rows, n, ranks, workers).S;
        }
        else
        {
            values = new double[ranks];
            RandomizedSvd.Decompose(
                white, rows, n, ranks, PowerIterations, new SeededRandom(1), new double[ranks * rows], values, new double[ranks * n], workers);
        }
        for (int rank = 1; rank <= ranks; rank++) losses[rank] = Math.Max(0, losses[rank - 1] - (values[rank - 1] * values[rank - 1]));
        return losses;
    }
}
