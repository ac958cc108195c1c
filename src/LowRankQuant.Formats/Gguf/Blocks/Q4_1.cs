namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>4-bit blocks of 32 with a minimum.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..3 | f16 m | minimum |
/// | 4..19 | u8 qs[16] | byte j: low nibble = element j, high nibble = element j + 16 |
/// Value: nibble * d + m. Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct Q4_1 : IGgufGridBlock
{
    public static int Elements => 32;

    public static int Bytes => 20;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block), m = BlockFields.Half(block[2..]);
        ReadOnlySpan<byte> qs = block.Slice(4, 16);
        for (int j = 0; j < 16; j++)
        {
            values[j] = ((qs[j] & 15) * d) + m;
            values[j + 16] = ((qs[j] >> 4) * d) + m;
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.WriteHalf(block, content.Scale);
        BlockFields.WriteHalf(block[2..], content.Minimum);
        BlockFields.PackNibbles(content.Codes, block.Slice(4, 16));
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        BlockFields.UnpackNibbles(block.Slice(4, 16), codes);
        return (BlockFields.HalfBits(block), BlockFields.HalfBits(block[2..]));
    }
}
