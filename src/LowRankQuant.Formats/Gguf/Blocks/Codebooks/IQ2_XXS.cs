using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>2-bit blocks of 256: runs of 8 from a codebook of 256, with signs, and 8 sub-blocks of 32 with 4-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..65 | u16 qs[32] | 8 bytes a sub-block: four numbers of runs, then a 32-bit word |
/// | word | bits 7 k to 7 k + 6 | signs of run k, see SignBits |
/// | word | bits 28 to 31 | scale |
/// Value: (d * (scale + 0.5) * 0.25) * (+-run[j]). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float
/// operations).
/// </remarks>
internal readonly partial struct IQ2_XXS : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 66;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        Codebook grid = Grid;
        for (int sub = 0; sub < 8; sub++)
        {
            ReadOnlySpan<byte> runs = block.Slice(2 + (8 * sub), 4);
            uint word = BinaryPrimitives.ReadUInt32LittleEndian(block[(6 + (8 * sub))..]);
            float scale = d * (0.5f + (word >> 28)) * 0.25f;
            for (int run = 0; run < 4; run++)
                grid.Decode(runs[run], SignBits.Expand((int)(word >> (7 * run))), scale, values.Slice((32 * sub) + (8 * run), 8));
        }
    }
}
