namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>4-bit floats in blocks of 32: one power of two as scale (OCP microscaling).</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0 | u8 e | exponent: the scale is 2^(e - 127) |
/// | 1..16 | u8 qs[16] | byte j: low nibble = element j, high nibble = element j + 16 |
/// Value: 2^(e - 128) * (twice the float of four bits). An exponent of 255 is no NaN here, as in ggml. Source: ggml-org/ggml, src/ggml-common.h (struct).
/// </remarks>
internal readonly struct MXFP4 : IGgufBlock
{
    public static int Elements => 32;

    public static int Bytes => 17;

    /// <summary>Packs 32 codes of 4-bit floats and the byte of their scale.</summary>
    public static void Encode(byte exponent, ReadOnlySpan<byte> codes, Span<byte> block)
    {
        block[0] = exponent;
        for (int i = 0; i < Elements / 2; i++) block[1 + i] = (byte)(codes[i] | (codes[i + (Elements / 2)] << 4));
    }

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values) =>
        NibbleLevels.Decode(MathF.ScaleB(1, block[0] - 128), NibbleLevels.Float4, block.Slice(1, 16), values);
}
