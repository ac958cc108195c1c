namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>4-bit symmetric blocks of 32: one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..17 | u8 qs[16] | byte j: low nibble = element j, high nibble = element j + 16 |
/// Value: (nibble - 8) * d. Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct Q4_0 : IGgufGridBlock
{
    public static int Elements => 32;

    public static int Bytes => 18;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        ReadOnlySpan<byte> qs = block.Slice(2, 16);
        for (int j = 0; j < 16; j++)
        {
            values[j] = ((qs[j] & 15) - 8) * d;
            values[j + 16] = ((qs[j] >> 4) - 8) * d;
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.WriteHalf(block, content.Scale);
        BlockFields.PackNibbles(content.Codes, block.Slice(2, 16));
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        BlockFields.UnpackNibbles(block.Slice(2, 16), codes);
        return (BlockFields.HalfBits(block), 0);
    }
}
