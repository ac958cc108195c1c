using System.Numerics;

namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// The grids of llama.cpp's K blocks: a row is cut into blocks of 256 inputs with one or two halves each, and a block into groups whose scale, and
/// minimum where the grid is asymmetric, are small integers times those halves:
/// <code>
/// asymmetric  value = (d * sc) * code - dmin * m
/// symmetric   value = (d * sc) * (code - 2^(bits-1))
/// </code>
/// evaluated in 32-bit floats in this order, without fused multiply-add. Every product of a half and an integer is exact.
/// </summary>
/// <remarks>
/// | grid | bits | group | sc | m | bits per weight |
/// | --- | --- | --- | --- | --- | --- |
/// | Q2_K | 2 | 16 | 0..15 | 0..15 | 2.625 |
/// | Q3_K | 3 | 16 | -32..31 | none, symmetric | 3.4375 |
/// | Q4_K | 4 | 32 | 0..63 | 0..63 | 4.5 |
/// | Q5_K | 5 | 32 | 0..63 | 0..63 | 5.5 |
/// | Q6_K | 6 | 16 | -128..127 | none, symmetric | 6.5625 |
/// Source: ggml-org/ggml, src/ggml-common.h and src/ggml-quants.c.
/// </remarks>
public sealed record TwoLevelGrid : WeightGrid
{
    /// <summary>Inputs of a block.</summary>
    public const int BlockSize = 256;

    private readonly int _blockBytes;

    private TwoLevelGrid(string name, int bits, bool symmetric, int groupSize, int minScale, int maxScale, int maxMinimum, int blockBytes)
        : base(bits, symmetric)
    {
        Name = name;
        GroupSize = groupSize;
        MinScale = minScale;
        MaxScale = maxScale;
        MaxMinimum = maxMinimum;
        _blockBytes = blockBytes;
    }

    /// <summary>2 bits, groups of 16 with minima.</summary>
    public static TwoLevelGrid Q2K { get; } = new("Q2_K", 2, false, 16, 0, 15, 15, 84);

    /// <summary>3 bits, symmetric groups of 16.</summary>
    public static TwoLevelGrid Q3K { get; } = new("Q3_K", 3, true, 16, -32, 31, 0, 110);

    /// <summary>4 bits, groups of 32 with minima.</summary>
    public static TwoLevelGrid Q4K { get; } = new("Q4_K", 4, false, 32, 0, 63, 63, 144);

    /// <summary>5 bits, groups of 32 with minima.</summary>
    public static TwoLevelGrid Q5K { get; } = new("Q5_K", 5, false, 32, 0, 63, 63, 176);

    /// <summary>6 bits, symmetric groups of 16.</summary>
    public static TwoLevelGrid Q6K { get; } = new("Q6_K", 6, true, 16, -128, 127, 0, 210);

    /// <summary>All of them, by bits.</summary>
    public static IReadOnlyList<TwoLevelGrid> All { get; } = [Q2K, Q3K, Q4K, Q5K, Q6K];

    /// <summary>The block's name in ggml, such as <c>Q4_K</c>.</summary>
    public string Name { get; }

    /// <summary>Inputs of a group.</summary>
    public int GroupSize { get; }

    /// <summary>Groups of a block.</summary>
    public int GroupsPerBlock => BlockSize / GroupSize;

    /// <summary>The smallest integer of a group's scale.</summary>
    public int MinScale { get; }

    /// <summary>The largest integer of a group's scale.</summary>
    public int MaxScale { get; }

    /// <summary>The largest integer of a group's minimum; 0 when symmetric.</summary>
    public int MaxMinimum { get; }

    /// <summary>Bits of the integer of a group's scale, and of its minimum.</summary>
    public int IntegerBits => BitOperations.Log2((uint)(MaxScale - MinScale)) + 1;

    /// <summary>The grid of a name such as <c>q4_k</c>, in any case; null when there is none.</summary>
    public static TwoLevelGrid? Find(string name) => All.FirstOrDefault(grid => grid.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <inheritdoc/>
    public override int GroupsPerRow(int inFeatures) => inFeatures / GroupSize;

    /// <summary>Blocks of a row.</summary>
    public override int ScalesPerRow(int inFeatures) => inFeatures / BlockSize;

    /// <inheritdoc/>
    public override bool Divides(int inFeatures) => inFeatures % BlockSize == 0;

    /// <summary>The engine's blocks, byte for byte.</summary>
    /// <inheritdoc/>
    public override long StoredBits(int outFeatures, int inFeatures, ScaleType scaleType) =>
        (long)outFeatures * ScalesPerRow(inFeatures) * _blockBytes * 8;

    /// <inheritdoc/>
    public override string ToString() => $"w{Bits} {(Symmetric ? "symmetric" : "asymmetric")} {Name}";
}
