using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>5-bit symmetric blocks of 32: one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..5 | u8 qh[4] | fifth bits: bit j of the 32-bit word = element j |
/// | 6..21 | u8 qs[16] | byte j: low nibble = element j, high nibble = element j + 16 |
/// Value: (nibble + 16 * bit - 16) * d. Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct Q5_0 : IGgufGridBlock
{
    public static int Elements => 32;

    public static int Bytes => 22;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        uint qh = BinaryPrimitives.ReadUInt32LittleEndian(block[2..]);
        ReadOnlySpan<byte> qs = block.Slice(6, 16);
        for (int j = 0; j < 16; j++)
        {
            values[j] = (((qs[j] & 15) | ((int)((qh >> j) & 1) << 4)) - 16) * d;
            values[j + 16] = (((qs[j] >> 4) | ((int)((qh >> (j + 16)) & 1) << 4)) - 16) * d;
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.WriteHalf(block, content.Scale);
        BinaryPrimitives.WriteUInt32LittleEndian(block[2..], BlockFields.FifthBits(content.Codes));
        BlockFields.PackNibbles(content.Codes, block.Slice(6, 16));
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        BlockFields.UnpackNibbles(block.Slice(6, 16), codes);
        BlockFields.AddFifthBits(BinaryPrimitives.ReadUInt32LittleEndian(block[2..]), codes);
        return (BlockFields.HalfBits(block), 0);
    }
}
