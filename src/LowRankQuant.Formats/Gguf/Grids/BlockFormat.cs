using LowRankQuant.Formats.Gguf.Blocks;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>What the blocks of a type can hold, and how a grid is laid into them.</summary>
/// <param name="Type">The type.</param>
/// <param name="Kind">From codes to values.</param>
/// <param name="Low">The smallest code: signed for <see cref="BlockKind.Signed"/>, otherwise 0.</param>
/// <param name="High">The largest code.</param>
/// <param name="MaxMinimum">The largest integer minimum; 0 where there is none.</param>
/// <param name="SubBlocks">Sub-blocks with integers of their own; 0 where there are none.</param>
/// <param name="ScaleOffset">What is added to the integer scale of a sub-block when it is stored.</param>
/// <param name="Pack">Packs the fields.</param>
/// <param name="Unpack">Takes them apart again.</param>
/// <remarks>
/// A uniform grid, value s (u - z) with c = u - z, lies in a block without rounding as follows; every number on the right is a field of the block:
/// | kind | fields | needs |
/// | --- | --- | --- |
/// | Signed | d = s, k = 1, code = c - Low | every c within Low..High |
/// | Q2_0 | d = -s, code = 1 - c | every c within -2..1: the block's own range is -1..2 |
/// | HalfMinimum | d = s, m = -s z, code = u | s z is a half |
/// | IntegerMinimum | d = dmin = s, k = 1, n = z, code = u | z at most MaxMinimum |
/// and always: s is a half, and a group is a whole number of blocks.
/// </remarks>
internal sealed record BlockFormat(
    GgmlType Type, BlockKind Kind, int Low, int High, int MaxMinimum, int SubBlocks, int ScaleOffset,
    BlockFormat.Packer Pack, BlockFormat.Unpacker Unpack)
{
    public delegate void Packer(BlockContent content, Span<byte> block);

    public delegate (ushort Scale, ushort Minimum) Unpacker(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima);

    /// <summary>All types that hold integer grids, the smallest first.</summary>
    public static IReadOnlyList<BlockFormat> All { get; } =
    [
        new(GgmlType.Q2_0, BlockKind.Signed, -2, 1, 0, 0, 0, Q2_0.Encode, Q2_0.Unpack),
        new(GgmlType.Q2_K, BlockKind.IntegerMinimum, 0, 3, 15, 16, 0, Q2_K.Encode, Q2_K.Unpack),
        new(GgmlType.Q3_K, BlockKind.Signed, -4, 3, 0, 16, 32, Q3_K.Encode, Q3_K.Unpack),
        new(GgmlType.Q4_0, BlockKind.Signed, -8, 7, 0, 0, 0, Q4_0.Encode, Q4_0.Unpack),
        new(GgmlType.Q4_K, BlockKind.IntegerMinimum, 0, 15, 63, 8, 0, Q4_K.Encode, Q4_K.Unpack),
        new(GgmlType.Q4_1, BlockKind.HalfMinimum, 0, 15, 0, 0, 0, Q4_1.Encode, Q4_1.Unpack),
        new(GgmlType.Q5_0, BlockKind.Signed, -16, 15, 0, 0, 0, Q5_0.Encode, Q5_0.Unpack),
        new(GgmlType.Q5_K, BlockKind.IntegerMinimum, 0, 31, 63, 8, 0, Q5_K.Encode, Q5_K.Unpack),
        new(GgmlType.Q5_1, BlockKind.HalfMinimum, 0, 31, 0, 0, 0, Q5_1.Encode, Q5_1.Unpack),
        new(GgmlType.Q6_K, BlockKind.Signed, -32, 31, 0, 16, 0, Q6_K.Encode, Q6_K.Unpack),
        new(GgmlType.Q8_0, BlockKind.Signed, -128, 127, 0, 0, 0, Q8_0.Encode, Q8_0.Unpack),
    ];

    /// <summary>Width of a code: that of the narrowest uniform grid whose codes reach from Low to High.</summary>
    public int Bits => int.Log2(High - Low + 1);

    /// <summary>Elements of a block.</summary>
    public int Elements => Type.Block().Elements;

    /// <summary>Bytes of a block.</summary>
    public int Bytes => Type.Block().Bytes;

    /// <summary>Bits of a weight in the file.</summary>
    public double BitsPerWeight => 8.0 * Bytes / Elements;

    /// <summary>The format of a type, or null when its blocks hold no integer grid.</summary>
    public static BlockFormat? Find(GgmlType type) => All.FirstOrDefault(format => format.Type == type);

    /// <summary>The smallest format that holds a uniform grid; of equals the one of the grid's own kind.</summary>
    /// <returns>Null when none does.</returns>
    public static BlockFormat? Smallest(GridContent content) => All
        .Where(format => format.Holds(content))
        .OrderBy(format => format.BitsPerWeight)
        .ThenBy(format => format.Kind == BlockKind.Signed == content.Symmetric ? 0 : 1)
        .FirstOrDefault();

    /// <summary>The smallest format with a float minimum whose codes reach as far as those of an affine grid; null when none does.</summary>
    public static BlockFormat? OfMinima(AffineGrid grid) => All.FirstOrDefault(format => format.Kind == BlockKind.HalfMinimum && grid.MaxCode <= format.High);

    /// <summary>Whether rows and groups are whole numbers of blocks.</summary>
    public bool Divides(int inFeatures, int groupSize) => inFeatures % Elements == 0 && groupSize % Elements == 0;

    /// <summary>Whether a uniform grid lies in these blocks without rounding.</summary>
    public bool Holds(GridContent content) => content.ScalesAreHalves && Divides(content.InFeatures, content.GroupSize) && Kind switch
    {
        BlockKind.Signed => content.MinDifference >= Low && content.MaxDifference <= High,
        BlockKind.HalfMinimum => content.MaxCode <= High && content.MinimaAreHalves,
        _ => content.MaxCode <= High && content.MaxZero <= MaxMinimum,
    };

    /// <summary>A signed code in the form in which the block stores it.</summary>
    public byte StoredCode(int difference) => Type switch
    {
        GgmlType.Q2_0 => (byte)(1 - difference),
        GgmlType.Q8_0 => (byte)(sbyte)difference,
        _ => (byte)(difference - Low),
    };

    /// <summary>The signed code that a block stores as a byte: the inverse of <see cref="StoredCode"/>.</summary>
    public int Difference(byte stored) => Type switch
    {
        GgmlType.Q2_0 => 1 - stored,
        GgmlType.Q8_0 => (sbyte)stored,
        _ => stored + Low,
    };
}
