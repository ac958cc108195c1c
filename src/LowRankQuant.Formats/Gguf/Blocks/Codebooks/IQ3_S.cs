namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>3-bit blocks of 256: runs of 4 from a codebook of 512, with signs, and 8 sub-blocks of 32 with 4-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..65 | u8 qs[64] | low eight bits of the number of run k |
/// | 66..73 | u8 qh[8] | top bit of run k: bit k % 8 of byte k / 8 |
/// | 74..105 | u8 signs[32] | bit j of byte k: element 8 k + j is negated |
/// | 106..109 | u8 scales[4] | scale of sub-block k: nibble k % 2 of byte k / 2, low one first |
/// Value: (d * (2 * scale + 1)) * (+-run[j]). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float
/// operations).
/// </remarks>
internal readonly partial struct IQ3_S : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 110;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        Codebook grid = Grid;
        for (int run = 0; run < 64; run++)
        {
            int number = block[2 + run] | (((block[66 + (run >> 3)] >> (run & 7)) & 1) << 8);
            int nibble = (block[106 + (run >> 4)] >> (4 * ((run >> 3) & 1))) & 15, signs = block[74 + (run >> 1)] >> (4 * (run & 1));
            float scale = d * ((2 * nibble) + 1);
            grid.Decode(number, signs, scale, values.Slice(4 * run, 4));
        }
    }
}
