namespace LowRankQuant.Numerics.Quantized;

/// <summary>A low-rank term B A added to a dequantized weight: y = W x + B (A x).</summary>
/// <param name="Rank">Inner dimension.</param>
/// <param name="A">[rank, inFeatures], row-major.</param>
/// <param name="B">[outFeatures, rank], row-major.</param>
/// <param name="BitsPerFactor">Bits of one element of a factor: narrower than 16 where elements are codes times a scale.</param>
public sealed record LowRankBranch(int Rank, float[] A, float[] B, int BitsPerFactor)
{
    // Elements narrower than 16 bits are codes, and every row of A and column of B has a 16-bit scale.
    private const int ScaleBits = 16;

    /// <summary>Bits of both factors as lrq stores them, with their scales where the elements are codes.</summary>
    public long StoredBits => ((A.LongLength + B.LongLength) * BitsPerFactor) + (BitsPerFactor < 16 ? 2L * Rank * ScaleBits : 0);

    /// <summary>weight += B A, summed in 32-bit floats over the rank in order.</summary>
    /// <param name="weight">[outFeatures, inFeatures].</param>
    /// <exception cref="ArgumentException">The length does not fit.</exception>
    public void AddTo(Span<float> weight)
    {
        if (Rank == 0) return;
        int rows = B.Length / Rank, columns = A.Length / Rank;
        if (weight.Length != (long)rows * columns) throw new ArgumentException($"{weight.Length} weights for a branch of {rows} x {columns}.", nameof(weight));
        for (int row = 0; row < rows; row++) AddRowTo(row, weight.Slice(row * columns, columns));
    }

    /// <summary>One row of it, weight += B[row] A, summed as <see cref="AddTo"/> sums.</summary>
    /// <param name="row">The row, below outFeatures.</param>
    /// <param name="weight">[inFeatures].</param>
    /// <exception cref="ArgumentException">The length does not fit.</exception>
    public void AddRowTo(int row, Span<float> weight)
    {
        if (Rank == 0) return;
        int columns = A.Length / Rank;
        if (weight.Length != columns) throw new ArgumentException($"{weight.Length} weights for a row of {columns}.", nameof(weight));
        for (int term = 0; term < Rank; term++)
            LinearAlgebra.Vectors.VectorKernels.AddScaled(B[(row * Rank) + term], A.AsSpan(term * columns, columns), weight);
    }
}
