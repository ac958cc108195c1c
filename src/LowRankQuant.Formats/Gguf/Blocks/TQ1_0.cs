namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>Ternary blocks of 256, five values a byte: one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..31 | u8 qs[32] | digit n of byte m = element 32 n + m, five digits |
/// | 32..47 | u8 qs[16] | digit n of byte m = element 160 + 16 n + m, five digits |
/// | 48..51 | u8 qh[4] | digit n of byte m = element 240 + 4 n + m, four digits |
/// | 52..53 | f16 d | scale |
/// A byte is a fraction of 256 in base 3; digit n is the first one after n multiplications by 3, of which the carry is dropped.
/// Value: (digit - 1) * d. Source: ggml-org/ggml, src/ggml-common.h (struct).
/// </remarks>
internal readonly struct TQ1_0 : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 54;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block[52..]);
        Digits(block[..32], 5, d, values[..160]);
        Digits(block.Slice(32, 16), 5, d, values.Slice(160, 80));
        Digits(block.Slice(48, 4), 4, d, values.Slice(240, 16));
    }

    private static void Digits(ReadOnlySpan<byte> bytes, int digits, float d, Span<float> values)
    {
        int power = 1;
        for (int n = 0; n < digits; n++, power *= 3)
        {
            Span<float> part = values.Slice(n * bytes.Length, bytes.Length);
            for (int m = 0; m < part.Length; m++) part[m] = ((((bytes[m] * power) & 255) * 3 >> 8) - 1) * d;
        }
    }
}
