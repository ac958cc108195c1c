namespace LowRankQuant.Quantization.Layers;

/// <summary>What a rank costs: the size side of FLRQ's Eq. 9.</summary>
/// <param name="OutFeatures">m.</param>
/// <param name="InFeatures">n.</param>
/// <param name="Bits">d, bits of a code.</param>
/// <param name="FactorBits">dfp, bits of an element of a factor.</param>
internal readonly record struct RankCost(int OutFeatures, int InFeatures, int Bits, int FactorBits)
{
    // dfp (m + n), and for factors narrower than 16 bits two 16-bit scales.
    private double BitsPerRank => ((double)FactorBits * (OutFeatures + InFeatures)) + (FactorBits < 16 ? 32 : 0);

    /// <summary>Bits a weight of a branch: dfp r (m + n) / (m n), and for factors narrower than 16 bits two 16-bit scales a rank.</summary>
    public double BitsPerWeight(int rank) => rank * BitsPerRank / ((double)OutFeatures * InFeatures);

    /// <summary>k = 1 + dfp r (m + n) / (d m n): the size with the branch, scales of its factors included, relative to the codes alone.</summary>
    public double SizeFactor(int rank) => 1 + (rank * BitsPerRank / ((double)Bits * OutFeatures * InFeatures));

    /// <summary>The largest rank whose size factor is at most 1 + extraSize.</summary>
    public int Cap(double extraSize)
    {
        double room = extraSize * Bits * OutFeatures * InFeatures;
        // A hair of slack: 0.2 and the like are not exact in binary.
        return (int)Math.Min(Math.Floor((room / BitsPerRank) + 1e-9), Math.Min(OutFeatures, InFeatures));
    }
}
