using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>Blocks of 256 in 1.5625 bits: ternary runs of 8 from a codebook of 2048, and 8 sub-blocks of 32 with 3-bit scales and a shift.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..33 | u8 qs[32] | low eight bits of the number of run k |
/// | 34..49 | u16 qh[8] | one a sub-block: top three bits of its run k in bits 3 k to 3 k + 2, scale in bits 12 to 14, sign of the shift in bit 15 |
/// Value: (d * (2 * scale + 1)) * (run[j] + shift), where the shift is 1/8, or -1/8 if the bit is set. Source: ggml-org/ggml, src/ggml-common.h
/// (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly partial struct IQ1_S : IGgufBlock
{
    private const float Delta = 0.125f;

    public static int Elements => 256;

    public static int Bytes => 50;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        Codebook grid = Grid;
        for (int sub = 0; sub < 8; sub++)
        {
            int word = BinaryPrimitives.ReadUInt16LittleEndian(block[(34 + (2 * sub))..]);
            float scale = d * ((2 * ((word >> 12) & 7)) + 1);
            for (int run = 0; run < 4; run++)
            {
                int number = block[2 + (4 * sub) + run] | (((word >> (3 * run)) & 7) << 8);
                Shifted(grid[number], word >> 15, scale, values.Slice((32 * sub) + (8 * run), 8));
            }
        }
    }

    /// <summary>Writes one run, shifted by an eighth up or, where the sign is 1, down.</summary>
    internal static void Shifted(ReadOnlySpan<sbyte> run, int sign, float scale, Span<float> values)
    {
        float delta = sign == 0 ? Delta : -Delta;
        for (int j = 0; j < values.Length; j++) values[j] = scale * (run[j] + delta);
    }
}
