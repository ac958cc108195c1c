namespace LowRankQuant.Numerics.Quantized;

/// <summary>A low-rank term B A added to a dequantized weight: y = W x + B (A x).</summary>
/// <param name="Rank">Inner dimension.</param>
/// <param name="A">[rank, inFeatures], row-major.</param>
/// <param name="B">[outFeatures, rank], row-major.</param>
/// <param name="BitsPerFactor">Stored bits of one element of a factor.</param>
public sealed record LowRankBranch(int Rank, float[] A, float[] B, int BitsPerFactor)
{
    /// <summary>Stored bits of both factors.</summary>
    public long StoredBits => (A.LongLength + B.LongLength) * BitsPerFactor;
}
