namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>2-bit blocks of 256: runs of 8 from a codebook of 1024, with signs, and 16 sub-blocks of 16 with 4-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..33 | u8 qs[32] | low eight bits of the number of run k |
/// | 34..65 | u8 signs[32] | bit j of byte k: element j of run k is negated |
/// | 66..73 | u8 qh[8] | top two bits of run k: bit pair k % 4 of byte k / 4 |
/// | 74..81 | u8 scales[8] | scale of sub-block k: nibble k % 2 of byte k / 2, low one first |
/// Value: (d * (scale + 0.5) * 0.25) * (+-run[j]). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float
/// operations).
/// </remarks>
internal readonly partial struct IQ2_S : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 82;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        Codebook grid = Grid;
        for (int run = 0; run < 32; run++)
        {
            int number = block[2 + run] | (((block[66 + (run >> 2)] >> (2 * (run & 3))) & 3) << 8);
            int nibble = (block[74 + (run >> 2)] >> (4 * ((run >> 1) & 1))) & 15;
            float scale = d * (0.5f + nibble) * 0.25f;
            grid.Decode(number, block[34 + run], scale, values.Slice(8 * run, 8));
        }
    }
}
