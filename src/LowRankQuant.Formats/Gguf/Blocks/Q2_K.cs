namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>2-bit blocks of 256: 16 sub-blocks of 16 with 4-bit scales and minima.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..15 | u8 scales[16] | sub-block: low nibble = scale, high nibble = minimum |
/// | 16..79 | u8 qs[64] | per half of 128 elements 32 bytes; bit pair k of byte l = element 32 k + l of the half |
/// | 80..81 | f16 d | scale of the scales |
/// | 82..83 | f16 dmin | scale of the minima |
/// Value: (d * scale) * code - (dmin * minimum). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float
/// operations).
/// </remarks>
internal readonly struct Q2_K : IGgufGridBlock
{
    public static int Elements => 256;

    public static int Bytes => 84;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block[80..]), dmin = BlockFields.Half(block[82..]);
        for (int sub = 0; sub < 16; sub++)
        {
            byte scale = block[sub];
            float dl = d * (scale & 15), ml = dmin * (scale >> 4);
            int shift = 2 * ((sub >> 1) & 3);
            ReadOnlySpan<byte> qs = block.Slice(16 + (32 * (sub >> 3)) + (16 * (sub & 1)), 16);
            Span<float> part = values.Slice(16 * sub, 16);
            for (int l = 0; l < 16; l++) part[l] = (dl * ((qs[l] >> shift) & 3)) - ml;
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        for (int sub = 0; sub < 16; sub++) block[sub] = (byte)(content.SubScales[sub] | (content.SubMinima[sub] << 4));
        BlockFields.PackPairs(content.Codes, block.Slice(16, 64));
        BlockFields.WriteHalf(block[80..], content.Scale);
        BlockFields.WriteHalf(block[82..], content.Minimum);
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        for (int sub = 0; sub < 16; sub++) (subScales[sub], subMinima[sub]) = ((byte)(block[sub] & 15), (byte)(block[sub] >> 4));
        BlockFields.UnpackPairs(block.Slice(16, 64), codes);
        return (BlockFields.HalfBits(block[80..]), BlockFields.HalfBits(block[82..]));
    }
}
