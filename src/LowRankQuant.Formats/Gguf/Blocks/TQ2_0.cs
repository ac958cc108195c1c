namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>Ternary blocks of 256, two bits a value: one scale.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..63 | u8 qs[64] | per half of 128 elements 32 bytes; bit pair k of byte l = element 32 k + l of the half |
/// | 64..65 | f16 d | scale |
/// Value: (code - 1) * d. Source: ggml-org/ggml, src/ggml-common.h (struct).
/// </remarks>
internal readonly struct TQ2_0 : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 66;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block[64..]);
        for (int part = 0; part < 8; part++)
        {
            ReadOnlySpan<byte> qs = block.Slice(32 * (part >> 2), 32);
            int shift = 2 * (part & 3);
            Span<float> to = values.Slice(32 * part, 32);
            for (int l = 0; l < 32; l++) to[l] = (((qs[l] >> shift) & 3) - 1) * d;
        }
    }
}
