namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>4-bit blocks of 256: 8 sub-blocks of 32 with 6-bit scales and minima.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..3 | f16 dmin | scale of the minima |
/// | 4..15 | u8 scales[12] | 8 pairs of six bits, see BlockFields.ScaleAndMinimum |
/// | 16..143 | u8 qs[128] | per 64 elements 32 bytes: low nibbles = first 32, high nibbles = next 32 |
/// Value: (d * scale) * nibble - (dmin * minimum). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float
/// operations).
/// </remarks>
internal readonly struct Q4_K : IGgufGridBlock
{
    public static int Elements => 256;

    public static int Bytes => 144;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block), dmin = BlockFields.Half(block[2..]);
        for (int sub = 0; sub < 8; sub++)
        {
            (int scale, int minimum) = BlockFields.ScaleAndMinimum(block.Slice(4, 12), sub);
            float dl = d * scale, ml = dmin * minimum;
            int shift = 4 * (sub & 1);
            ReadOnlySpan<byte> qs = block.Slice(16 + (32 * (sub >> 1)), 32);
            Span<float> part = values.Slice(32 * sub, 32);
            for (int l = 0; l < 32; l++) part[l] = (dl * ((qs[l] >> shift) & 15)) - ml;
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.WriteHalf(block, content.Scale);
        BlockFields.WriteHalf(block[2..], content.Minimum);
        BlockFields.PackScalesAndMinima(content.SubScales, content.SubMinima, block.Slice(4, 12));
        BlockFields.PackNibblesOf64(content.Codes, block.Slice(16, 128));
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        BlockFields.UnpackScalesAndMinima(block.Slice(4, 12), subScales, subMinima);
        BlockFields.UnpackNibblesOf64(block.Slice(16, 128), codes);
        return (BlockFields.HalfBits(block), BlockFields.HalfBits(block[2..]));
    }
}
