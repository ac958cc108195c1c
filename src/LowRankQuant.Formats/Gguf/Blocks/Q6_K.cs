namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>6-bit symmetric blocks of 256: 16 sub-blocks of 16 with 8-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..127 | u8 ql[128] | low nibbles: per half 64 bytes; low nibbles = elements 0..63 of the half, high nibbles = 64..127 |
/// | 128..191 | u8 qh[64] | top two bits: per half 32 bytes; bit pair k of byte l = element 32 k + l of the half |
/// | 192..207 | i8 scales[16] | scales of the sub-blocks |
/// | 208..209 | f16 d | scale of the scales |
/// Value: (d * scale) * (code - 32). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct Q6_K : IGgufGridBlock
{
    public static int Elements => 256;

    public static int Bytes => 210;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block[208..]);
        for (int sub = 0; sub < 16; sub++)
        {
            float dl = d * (sbyte)block[192 + sub];
            int half = sub >> 3, step = (sub >> 1) & 3, first = 16 * (sub & 1);
            ReadOnlySpan<byte> ql = block.Slice((64 * half) + (32 * (step & 1)) + first, 16);
            ReadOnlySpan<byte> qh = block.Slice(128 + (32 * half) + first, 16);
            int nibble = 4 * (step >> 1), pair = 2 * step;
            Span<float> part = values.Slice(16 * sub, 16);
            for (int l = 0; l < 16; l++) part[l] = dl * ((((ql[l] >> nibble) & 15) | (((qh[l] >> pair) & 3) << 4)) - 32);
        }
    }

    public static void Encode(BlockContent content, Span<byte> block)
    {
        for (int half = 0; half < 2; half++)
        {
            ReadOnlySpan<byte> codes = content.Codes.Slice(128 * half, 128);
            Span<byte> ql = block.Slice(64 * half, 64), qh = block.Slice(128 + (32 * half), 32);
            for (int l = 0; l < 64; l++) ql[l] = (byte)((codes[l] & 15) | (codes[l + 64] << 4));
            for (int l = 0; l < 32; l++)
                qh[l] = (byte)((codes[l] >> 4) | (codes[l + 32] >> 4 << 2) | (codes[l + 64] >> 4 << 4) | (codes[l + 96] >> 4 << 6));
        }
        content.SubScales.CopyTo(block.Slice(192, 16));
        BlockFields.WriteHalf(block[208..], content.Scale);
    }

    public static (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima)
    {
        for (int i = 0; i < 256; i++)
        {
            int half = i / 128, within = i % 128;
            int low = block[(64 * half) + (within % 64)] >> (4 * (within / 64)), high = block[128 + (32 * half) + (within % 32)] >> (2 * (within / 32));
            codes[i] = (byte)((low & 15) | ((high & 3) << 4));
        }
        block.Slice(192, 16).CopyTo(subScales);
        return (BlockFields.HalfBits(block[208..]), 0);
    }
}
