namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>2-bit blocks of 64, values -1, 0, 1, 2 times one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..17 | u8 qs[16] | four codes a byte, lowest bits first |
/// Value: (code - 1) * d. Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct Q2_0 : IGgufGridBlock
{
    public static int Elements => 64;

    public static int Bytes => 18;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        ReadOnlySpan<byte> qs = block.Slice(2, 16);
        for (int j = 0; j < 64; j++) values[j] = (((qs[j >> 2] >> (2 * (j & 3))) & 3) - 1) * d;
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.WriteHalf(block, content.Scale);
        Span<byte> qs = block.Slice(2, 16);
        for (int j = 0; j < 16; j++)
        {
            ReadOnlySpan<byte> four = content.Codes.Slice(4 * j, 4);
            qs[j] = (byte)(four[0] | (four[1] << 2) | (four[2] << 4) | (four[3] << 6));
        }
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        for (int j = 0; j < 64; j++) codes[j] = (byte)((block[2 + (j / 4)] >> (2 * (j % 4))) & 3);
        return (BlockFields.HalfBits(block), 0);
    }
}
