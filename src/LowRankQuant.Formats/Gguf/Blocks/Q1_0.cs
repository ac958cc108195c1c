namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>1-bit blocks of 128: one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..17 | u8 qs[16] | bit j % 8 of byte j / 8 = element j |
/// Value: d where the bit is set, else -d. Source: ggml-org/ggml, src/ggml-common.h (struct).
/// </remarks>
internal readonly struct Q1_0 : IGgufBlock
{
    public static int Elements => 128;

    public static int Bytes => 18;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        ReadOnlySpan<byte> qs = block.Slice(2, 16);
        for (int j = 0; j < 128; j++) values[j] = ((2 * ((qs[j >> 3] >> (j & 7)) & 1)) - 1) * d;
    }
}
