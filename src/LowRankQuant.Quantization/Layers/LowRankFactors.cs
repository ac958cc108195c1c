using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Layers;

/// <summary>A low-rank term U V of a weight while it is computed.</summary>
/// <param name="Rank">r.</param>
/// <param name="U">[outFeatures, r], row-major.</param>
/// <param name="V">[r, inFeatures], row-major.</param>
internal sealed record LowRankFactors(int Rank, double[] U, double[] V)
{
    /// <summary>No term.</summary>
    public static LowRankFactors None { get; } = new(0, [], []);

    /// <summary>W - U V.</summary>
    /// <param name="weight">W, [rows, columns].</param>
    /// <param name="rows">Rows of W.</param>
    /// <param name="columns">Columns of W.</param>
    /// <param name="workers">Threads.</param>
    public double[] SubtractFrom(double[] weight, int rows, int columns, WorkerPool workers)
    {
        var result = (double[])weight.Clone();
        if (Rank == 0) return result;
        var negative = new double[U.Length];
        for (int i = 0; i < U.Length; i++) negative[i] = -U[i];
        MatrixProduct.Multiply(negative, V, result, rows, Rank, columns, workers, accumulate: true);
        return result;
    }

    /// <summary>Both factors rounded to fp16, the singular values shared evenly so that neither leaves its range.</summary>
    public LowRankFactors ToHalf()
    {
        LowRankFactors balanced = Balance();
        double[] u = [.. balanced.U], v = [.. balanced.V];
        FactorRounding.Columns(u, Rank, 16);
        FactorRounding.Rows(v, Rank, 16);
        return new LowRankFactors(Rank, u, v);
    }

    /// <summary>The stored form; null when there is no term.</summary>
    /// <param name="bits">Bits of one element of a factor.</param>
    public LowRankBranch? ToBranch(int bits) => Rank == 0
        ? null
        : new LowRankBranch(Rank, [.. V.Select(value => (float)value)], [.. U.Select(value => (float)value)], bits);

    // Column i of U and row i of V get the same length.
    private LowRankFactors Balance()
    {
        if (Rank == 0) return this;
        double[] u = (double[])U.Clone(), v = (double[])V.Clone();
        int rows = U.Length / Rank, columns = V.Length / Rank;
        for (int i = 0; i < Rank; i++)
        {
            double left = 0, right = 0;
            for (int row = 0; row < rows; row++) left += u[(row * Rank) + i] * u[(row * Rank) + i];
            for (int column = 0; column < columns; column++) right += v[(i * columns) + column] * v[(i * columns) + column];
            if (left == 0 || right == 0) continue;
            double factor = Math.Pow(right / left, 0.25);
            for (int row = 0; row < rows; row++) u[(row * Rank) + i] *= factor;
            for (int column = 0; column < columns; column++) v[(i * columns) + column] /= factor;
        }
        return new LowRankFactors(Rank, u, v);
    }
}
