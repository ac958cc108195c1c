using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>5-bit blocks of 32 with a minimum.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..3 | f16 m | minimum |
/// | 4..7 | u8 qh[4] | fifth bits: bit j of the 32-bit word = element j |
/// | 8..23 | u8 qs[16] | byte j: low nibble = element j, high nibble = element j + 16 |
/// Value: (nibble + 16 * bit) * d + m. Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct Q5_1 : IGgufGridBlock
{
    public static int Elements => 32;

    public static int Bytes => 24;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block), m = BlockFields.Half(block[2..]);
        uint qh = BinaryPrimitives.ReadUInt32LittleEndian(block[4..]);
        ReadOnlySpan<byte> qs = block.Slice(8, 16);
        for (int j = 0; j < 16; j++)
        {
            values[j] = (((qs[j] & 15) | ((int)((qh >> j) & 1) << 4)) * d) + m;
            values[j + 16] = (((qs[j] >> 4) | ((int)((qh >> (j + 16)) & 1) << 4)) * d) + m;
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.WriteHalf(block, content.Scale);
        BlockFields.WriteHalf(block[2..], content.Minimum);
        BinaryPrimitives.WriteUInt32LittleEndian(block[4..], BlockFields.FifthBits(content.Codes));
        BlockFields.PackNibbles(content.Codes, block.Slice(8, 16));
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        BlockFields.UnpackNibbles(block.Slice(8, 16), codes);
        BlockFields.AddFifthBits(BinaryPrimitives.ReadUInt32LittleEndian(block[4..]), codes);
        return (BlockFields.HalfBits(block), BlockFields.HalfBits(block[2..]));
    }
}
