using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>
/// Factors with 8-bit elements: every row of V and every column of U has one 16-bit scale, max magnitude / 127 (<see cref="FactorRounding"/>). V is
/// rounded first, U refitted by least squares for the V as stored, then rounded too.
/// </summary>
internal static class ByteFactors
{
    private const int Bits = 8;

    // A term smaller than this shares its size between both factors, so that neither leaves the range of 16-bit scales.
    private static readonly double SmallestTerm = Math.ScaleB(1, -100);

    /// <summary>Rounds the factors of a term fitted to <paramref name="matrix"/>.</summary>
    /// <param name="factors">The term.</param>
    /// <param name="matrix">What it was fitted to, [rows, n].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="covariance">The metric of the refit.</param>
    /// <param name="workers">Threads.</param>
    public static LowRankFactors Round(LowRankFactors factors, double[] matrix, int rows, DampedCovariance covariance, WorkerPool workers)
    {
        int rank = factors.Rank, n = covariance.Size;
        if (rank == 0) return factors;
        var v = (double[])factors.V.Clone();
        for (int term = 0; term < rank; term++)
        {
            // Rows of unit length keep the scales of V in the range of halves whatever the inputs' size is.
            Span<double> row = v.AsSpan(term * n, n);
            double length = Math.Sqrt(row.ToArray().Sum(x => x * x));
            if (length == 0) continue;
            double unit = length / RowLength(factors, term, length);
            for (int i = 0; i < n; i++) row[i] /= unit;
        }
        FactorRounding.Rows(v, rank, Bits);
        double[] u = WhitenedFit.RefitLeft(matrix, rows, rank, v, covariance, workers);
        FactorRounding.Columns(u, rank, Bits);
        return new LowRankFactors(rank, u, v);
    }

    private static double RowLength(LowRankFactors factors, int term, double length)
    {
        double size = 0;
        for (int i = term; i < factors.U.Length; i += factors.Rank) size = Math.Max(size, Math.Abs(factors.U[i]));
        size *= length;
        return size > 0 && size < SmallestTerm ? Math.ScaleB(1, Math.ILogB(size) / 2) : 1;
    }
}
