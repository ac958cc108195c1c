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
    private readonly BlockFormat _format;

    private GgufBlockEncoder(QuantizedWeight weight, BlockFormat format)
    {
        _weight = weight;
        _format = format;
    }

    /// <summary>Bytes of a row.</summary>
    public int RowBytes => _weight.InFeatures / _format.Elements * _format.Bytes;

    /// <summary>Prepares a weight.</summary>
    /// <param name="weight">The weight; its branch is not encoded.</param>
    /// <param name="type">A type that holds it, as <see cref="GgufFit"/> tells.</param>
    /// <exception cref="ArgumentException">The blocks of the type do not hold the weight exactly.</exception>
    public static GgufBlockEncoder For(QuantizedWeight weight, GgmlType type)
    {
        BlockFormat? format = BlockFormat.Find(type);
        bool holds = format is not null && weight switch
        {
            UniformWeight uniform => format.Holds(GridContent.Of(uniform)),
            TwoLevelWeight native => native.Grid.Name == type.ToString(),
            _ => false,
        };
        return holds ? new GgufBlockEncoder(weight, format!) : throw new ArgumentException($"{type} blocks do not hold {weight.Grid} exactly.", nameof(type));
    }

    /// <summary>Packs one row.</summary>
    /// <param name="row">Row of the weight.</param>
    /// <param name="blocks">Receives <see cref="RowBytes"/> bytes.</param>
    public void EncodeRow(int row, Span<byte> blocks)
    {
        int perRow = _weight.InFeatures / _format.Elements;
        for (int block = 0; block < perRow; block++)
        {
            Span<byte> target = blocks.Slice(block * _format.Bytes, _format.Bytes);
            if (_weight is UniformWeight uniform) Encode(uniform, row, block, target);
            else Encode((TwoLevelWeight)_weight, (row * perRow) + block, target);
        }
    }

    private void Encode(UniformWeight weight, int row, int block, Span<byte> target)
    {
        int first = block * _format.Elements;
        int group = (row * weight.Grid.GroupsPerRow(weight.InFeatures)) + (first / weight.EffectiveGroupSize);
        (float scale, int zero) = GridContent.ScaleAndZero(weight, group);
        ReadOnlySpan<byte> codes = weight.Codes.AsSpan((row * weight.InFeatures) + first, _format.Elements);
        Span<byte> stored = stackalloc byte[TwoLevelGrid.BlockSize], scales = stackalloc byte[TwoLevelGrid.BlockSize], minima = stackalloc byte[TwoLevelGrid.BlockSize];
        scales = scales[.._format.SubBlocks];
        minima = minima[.._format.SubBlocks];
        scales.Fill((byte)(_format.ScaleOffset + 1)); // a factor of 1
        if (_format.Kind == BlockKind.Signed)
        {
            for (int i = 0; i < codes.Length; i++) stored[i] = _format.StoredCode(codes[i] - zero);
        }
        else
        {
            codes.CopyTo(stored);
            minima.Fill((byte)zero);
        }
        float minimum = _format.Kind == BlockKind.HalfMinimum ? -scale * zero : scale;
        _format.Pack(
            new BlockContent
            {
                Codes = stored[..codes.Length],
                Scale = Bits(_format.Type == GgmlType.Q2_0 ? -scale : scale),
                Minimum = Bits(minimum),
                SubScales = scales,
                SubMinima = minima,
            },
            target);
    }

    private void Encode(TwoLevelWeight weight, int block, Span<byte> target)
    {
        int perBlock = weight.Grid.GroupsPerBlock;
        TwoLevelScales scales = weight.Scales;
        Span<byte> stored = stackalloc byte[perBlock];
        for (int sub = 0; sub < perBlock; sub++) stored[sub] = (byte)(scales.GroupScales[(block * perBlock) + sub] + _format.ScaleOffset);
        _format.Pack(
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
