using LowRankQuant.Formats.Gguf.Blocks;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>
/// Packs a quantized weight into the blocks of a type, row by row. Codes, zero points and scales go into the file as they are; no float is rounded
/// and none is computed, except products that are exact.
/// </summary>
public sealed class GgufBlockEncoder
{
    private readonly QuantizedWeight _weight;
    private readonly int _elements, _bytes;

    // Null for floats, whose blocks hold no integer grid.
    private readonly BlockFormat? _integers;

    private GgufBlockEncoder(QuantizedWeight weight, GgmlType type)
    {
        _weight = weight;
        (_elements, _bytes) = type.Block();
        _integers = BlockFormat.Find(type);
    }

    /// <summary>Bytes of a row.</summary>
    public int RowBytes => _weight.InFeatures / _elements * _bytes;

    /// <summary>Prepares a weight.</summary>
    /// <param name="weight">The weight; its branch is not encoded.</param>
    /// <param name="type">A type that holds it, as <see cref="GgufFit"/> tells.</param>
    /// <exception cref="ArgumentException">The blocks of the type do not hold the weight exactly.</exception>
    public static GgufBlockEncoder For(QuantizedWeight weight, GgmlType type)
    {
        BlockFormat? format = BlockFormat.Find(type);
        bool holds = weight switch
        {
            UniformWeight uniform => format is not null && format.Holds(GridContent.Of(uniform)),
            AffineWeight affine => GgufFit.Of(affine).Type == type,
            TwoLevelWeight native => native.Grid.Name == type.ToString(),
            FloatWeight floats => type == GgmlType.MXFP4 && floats.Grid == FloatGrid.Mxfp4,
            _ => false,
        };
        return holds ? new GgufBlockEncoder(weight, type) : throw new ArgumentException($"{type} blocks do not hold {weight.Grid} exactly.", nameof(type));
    }

    /// <summary>Packs one row.</summary>
    /// <param name="row">Row of the weight.</param>
    /// <param name="blocks">Receives <see cref="RowBytes"/> bytes.</param>
    public void EncodeRow(int row, Span<byte> blocks)
    {
        int perRow = _weight.InFeatures / _elements;
        for (int block = 0; block < perRow; block++)
        {
            Span<byte> target = blocks.Slice(block * _bytes, _bytes);
            if (_weight is UniformWeight uniform) Encode(_integers!, uniform, row, block, target);
            else if (_weight is AffineWeight affine) Encode(_integers!, affine, row, block, target);
            else if (_weight is TwoLevelWeight native) Encode(_integers!, native, (row * perRow) + block, target);
            else Encode((FloatWeight)_weight, (row * perRow) + block, target);
        }
    }

    private static void Encode(FloatWeight weight, int block, Span<byte> target) => MXFP4.Encode(
        FloatScale.ExponentByte(weight.Scales[block]), weight.Codes.AsSpan(block * MXFP4.Elements, MXFP4.Elements), target);

    private static void Encode(BlockFormat format, UniformWeight weight, int row, int block, Span<byte> target)
    {
        int first = block * format.Elements;
        int group = (row * weight.Grid.GroupsPerRow(weight.InFeatures)) + (first / weight.EffectiveGroupSize);
        (float scale, int zero) = GridContent.ScaleAndZero(weight, group);
        ReadOnlySpan<byte> codes = weight.Codes.AsSpan((row * weight.InFeatures) + first, format.Elements);
        Span<byte> stored = stackalloc byte[TwoLevelGrid.BlockSize], scales = stackalloc byte[TwoLevelGrid.BlockSize], minima = stackalloc byte[TwoLevelGrid.BlockSize];
        scales = scales[..format.SubBlocks];
        minima = minima[..format.SubBlocks];
        scales.Fill((byte)(format.ScaleOffset + 1)); // a factor of 1
        if (format.Kind == BlockKind.Signed)
        {
            for (int i = 0; i < codes.Length; i++) stored[i] = format.StoredCode(codes[i] - zero);
        }
        else
        {
            codes.CopyTo(stored);
            minima.Fill((byte)zero);
        }
        float minimum = format.Kind == BlockKind.HalfMinimum ? -scale * zero : scale;
        format.Pack(
            new BlockContent
            {
                Codes = stored[..codes.Length],
                Scale = Bits(format.Type == GgmlType.Q2_0 ? -scale : scale),
                Minimum = Bits(minimum),
                SubScales = scales,
                SubMinima = minima,
            },
            target);
    }

    private static void Encode(BlockFormat format, AffineWeight weight, int row, int block, Span<byte> target)
    {
        int first = (row * weight.InFeatures) + (block * format.Elements), group = first / weight.Grid.GroupSize;
        format.Pack(
            new BlockContent { Codes = weight.Codes.AsSpan(first, format.Elements), Scale = Bits(weight.Scales[group]), Minimum = Bits(weight.Minima[group]), SubScales = default, SubMinima = default },
            target);
    }

    private static void Encode(BlockFormat format, TwoLevelWeight weight, int block, Span<byte> target)
    {
        int perBlock = weight.Grid.GroupsPerBlock;
        TwoLevelScales scales = weight.Scales;
        Span<byte> stored = stackalloc byte[perBlock];
        for (int sub = 0; sub < perBlock; sub++) stored[sub] = (byte)(scales.GroupScales[(block * perBlock) + sub] + format.ScaleOffset);
        format.Pack(
            new BlockContent
            {
                Codes = weight.Codes.AsSpan(block * TwoLevelGrid.BlockSize, TwoLevelGrid.BlockSize),
                Scale = BitConverter.HalfToUInt16Bits(scales.BlockScales[block]),
                Minimum = scales.BlockMinima is { } minima ? BitConverter.HalfToUInt16Bits(minima[block]) : (ushort)0,
                SubScales = stored,
                SubMinima = scales.GroupMinima is { } integers ? integers.AsSpan(block * perBlock, perBlock) : default,
            },
            target);
    }

    private static ushort Bits(float value) => BitConverter.HalfToUInt16Bits((Half)value);
}
