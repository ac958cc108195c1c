namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>3-bit symmetric blocks of 256: 16 sub-blocks of 16 with 6-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..31 | u8 hmask[32] | third bits: bit 4 * half + k of byte l = element 32 k + l of the half; a clear bit subtracts 4 |
/// | 32..95 | u8 qs[64] | low two bits, as in Q2_K |
/// | 96..107 | u8 scales[12] | six-bit scales: low bits in bytes 0..7 (low nibble j, high nibble j + 8), top two in byte 8 + j % 4, bit 2 * (j / 4) |
/// | 108..109 | f16 d | scale of the scales |
/// Value: (d * (scale - 32)) * (code - (third bit ? 0 : 4)). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the
/// float operations).
/// </remarks>
internal readonly struct Q3_K : IGgufGridBlock
{
    public static int Elements => 256;

    public static int Bytes => 110;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block[108..]);
        ReadOnlySpan<byte> hmask = block[..32], scales = block.Slice(96, 12);
        for (int sub = 0; sub < 16; sub++)
        {
            float dl = d * (SubScale(scales, sub) - 32);
            int step = (sub >> 1) & 3, half = sub >> 3, first = 16 * (sub & 1);
            int shift = 2 * step, third = (4 * half) + step;
            ReadOnlySpan<byte> qs = block.Slice(32 + (32 * half) + first, 16), hm = hmask.Slice(first, 16);
            Span<float> part = values.Slice(16 * sub, 16);
            for (int l = 0; l < 16; l++) part[l] = dl * (((qs[l] >> shift) & 3) - (((~hm[l] >> third) & 1) << 2)); // no branch: the bits are random
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        BlockFields.PackBitPlanes(content.Codes, 2, block[..32]);
        BlockFields.PackPairs(content.Codes, block.Slice(32, 64));
        Span<byte> scales = block.Slice(96, 12);
        scales.Clear();
        for (int sub = 0; sub < 16; sub++)
        {
            int scale = content.SubScales[sub];
            scales[sub & 7] |= (byte)((scale & 15) << (sub < 8 ? 0 : 4));
            scales[8 + (sub & 3)] |= (byte)(scale >> 4 << (2 * (sub >> 2)));
        }
        BlockFields.WriteHalf(block[108..], content.Scale);
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        BlockFields.UnpackPairs(block.Slice(32, 64), codes);
        BlockFields.AddBitPlanes(block[..32], 2, codes);
        for (int sub = 0; sub < 16; sub++) subScales[sub] = (byte)SubScale(block.Slice(96, 12), sub);
        return (BlockFields.HalfBits(block[108..]), 0);
    }

    private static int SubScale(ReadOnlySpan<byte> scales, int sub)
    {
        int low = (scales[sub & 7] >> (sub < 8 ? 0 : 4)) & 15;
        int high = (scales[8 + (sub & 3)] >> (2 * (sub >> 2))) & 3;
        return low | (high << 4);
    }
}
