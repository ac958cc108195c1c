namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>4-bit floats in blocks of 64: 4 sub-blocks of 16 with 8-bit floats as scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..3 | u8 d[4] | scales: four exponent bits above three mantissa bits (E4M3 without a sign; bit 7 is not looked at) |
/// | 4..35 | u8 qs[32] | 8 bytes a sub-block; byte j: low nibble = element j, high nibble = element j + 8 |
/// Value: (d / 2) * (twice the float of four bits). A scale of 127, which E4M3 keeps for NaN, is zero, as in ggml. A model keeps one more scale a
/// tensor, in a tensor of its own. Source: ggml-org/ggml, src/ggml-common.h (struct).
/// </remarks>
internal readonly struct NVFP4 : IGgufBlock
{
    private const byte NaN = 127;

    public static int Elements => 64;

    public static int Bytes => 36;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        for (int sub = 0; sub < 4; sub++)
            NibbleLevels.Decode(HalfScale(block[sub]), NibbleLevels.Float4, block.Slice(4 + (8 * sub), 8), values.Slice(16 * sub, 16));
    }

    // Exponents have a bias of 7, mantissas are eighths, and one more halving makes up for the doubled levels.
    private static float HalfScale(byte bits)
    {
        int exponent = (bits >> 3) & 15, mantissa = bits & 7;
        if (bits == NaN) return 0;
        return exponent == 0 ? MathF.ScaleB(mantissa, -10) : MathF.ScaleB(8 + mantissa, exponent - 11);
    }
}
