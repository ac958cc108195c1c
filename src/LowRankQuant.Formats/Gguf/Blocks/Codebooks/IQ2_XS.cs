using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>2-bit blocks of 256: runs of 8 from a codebook of 512, with signs, and 16 sub-blocks of 16 with 4-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..65 | u16 qs[32] | run k of 8 elements: its number in bits 0 to 8, its signs in bits 9 to 15, see SignBits |
/// | 66..73 | u8 scales[8] | scale of sub-block k: nibble k % 2 of byte k / 2, low one first |
/// Value: (d * (scale + 0.5) * 0.25) * (+-run[j]). Source: ggml-org/ggml, src/ggml-common.h (struct), src/ggml-quants.c (order of the float
/// operations).
/// </remarks>
internal readonly partial struct IQ2_XS : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 74;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        Codebook grid = Grid;
        for (int run = 0; run < 32; run++)
        {
            int word = BinaryPrimitives.ReadUInt16LittleEndian(block[(2 + (2 * run))..]);
            int nibble = (block[66 + (run >> 2)] >> (4 * ((run >> 1) & 1))) & 15;
            float scale = d * (0.5f + nibble) * 0.25f;
            grid.Decode(word & 511, SignBits.Expand(word >> 9), scale, values.Slice(8 * run, 8));
        }
    }
}
