namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// Where the values of a quantized weight may lie: unsigned codes 0..2^bits-1 that every group of consecutive inputs of a row turns into floats in its
/// own way. <see cref="UniformGrid"/> stores a scale per group, perhaps with an integer zero point, <see cref="AffineGrid"/> a scale and a float minimum, <see cref="TwoLevelGrid"/> small
/// integers per group and their scale per block; codes of a <see cref="FloatGrid"/> are
/// floats themselves.
/// </summary>
public abstract record WeightGrid
{
    private protected WeightGrid(int bits, bool symmetric)
    {
        Bits = bits;
        Symmetric = symmetric;
    }

    /// <summary>Width of a code.</summary>
    public int Bits { get; init; }

    /// <summary>Whether the code of the value 0 is fixed at the middle, <see cref="SymmetricZero"/>, and not stored.</summary>
    public bool Symmetric { get; init; }

    /// <summary>The largest code, 2^bits - 1.</summary>
    public int MaxCode => (1 << Bits) - 1;

    /// <summary>The zero point of a symmetric grid, 2^(bits-1).</summary>
    public int SymmetricZero => 1 << (Bits - 1);

    /// <summary>Groups of a row of <paramref name="inFeatures"/> inputs.</summary>
    public abstract int GroupsPerRow(int inFeatures);

    /// <summary>Stored scales of a row of <paramref name="inFeatures"/> inputs: one a group, or one a block of groups.</summary>
    public abstract int ScalesPerRow(int inFeatures);

    /// <summary>Whether the grid fits a row of <paramref name="inFeatures"/> inputs.</summary>
    public abstract bool Divides(int inFeatures);

    /// <summary>Whether rows have scales in common, so that the rows of several matrices cannot be put together as one.</summary>
    public virtual bool SharesScalesBetweenRows => false;

    /// <summary>Bits that a matrix takes: codes, scales, zero points or minima.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="scaleType">Stored type of the scales; a two-level grid has halves whatever is asked.</param>
    public abstract long StoredBits(int outFeatures, int inFeatures, ScaleType scaleType);
}
