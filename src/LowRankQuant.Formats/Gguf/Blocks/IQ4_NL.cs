namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>4-bit blocks of 32 on sixteen unequal levels: one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale |
/// | 2..17 | u8 qs[16] | byte j: low nibble = element j, high nibble = element j + 16 |
/// Value: d * level[nibble]. Source: ggml-org/ggml, src/ggml-common.h (struct).
/// </remarks>
internal readonly struct IQ4_NL : IGgufBlock
{
    public static int Elements => 32;

    public static int Bytes => 18;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values) =>
        NibbleLevels.Decode(BlockFields.Half(block), NibbleLevels.NonLinear, block.Slice(2, 16), values);
}
