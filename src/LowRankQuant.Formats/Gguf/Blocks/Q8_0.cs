namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>8-bit symmetric blocks of 32: one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..33 | i8 qs[32] | codes |
/// Value: code * d. Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct Q8_0 : IGgufGridBlock
{
    public static int Elements => 32;

    public static int Bytes => 34;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        ReadOnlySpan<byte> qs = block.Slice(2, 32);
        for (int j = 0; j < 32; j++) values[j] = (sbyte)qs[j] * d;
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.WriteHalf(block, content.Scale);
        content.Codes.CopyTo(block.Slice(2, 32));
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        block.Slice(2, 32).CopyTo(codes);
        return (BlockFields.HalfBits(block), 0);
    }
}
