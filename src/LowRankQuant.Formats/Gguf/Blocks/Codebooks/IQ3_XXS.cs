using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>3-bit blocks of 256: runs of 4 from a codebook of 256, with signs, and 8 sub-blocks of 32 with 4-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..65 | u8 qs[64] | numbers of the runs |
/// | 66..97 | u32 words[8] | one a sub-block: signs of run pair k in bits 7 k to 7 k + 6, see SignBits; scale in bits 28 to 31 |
/// Value: (d * (scale + 0.5) * 0.5) * (+-run[j]). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float
/// operations).
/// </remarks>
internal readonly partial struct IQ3_XXS : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 98;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        Codebook grid = Grid;
        for (int sub = 0; sub < 8; sub++)
        {
            uint word = BinaryPrimitives.ReadUInt32LittleEndian(block[(66 + (4 * sub))..]);
            float scale = d * (0.5f + (word >> 28)) * 0.5f;
            for (int pair = 0; pair < 4; pair++)
            {
                int signs = SignBits.Expand((int)(word >> (7 * pair))), first = (8 * sub) + (2 * pair);
                grid.Decode(block[2 + first], signs, scale, values.Slice(4 * first, 4));
                grid.Decode(block[3 + first], signs >> 4, scale, values.Slice((4 * first) + 4, 4));
            }
        }
    }
}
