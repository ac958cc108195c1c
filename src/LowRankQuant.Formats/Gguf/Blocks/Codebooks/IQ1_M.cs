using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>Blocks of 256 in 1.75 bits: runs of IQ1_S's codebook with a shift each, and 16 sub-blocks of 16 with 3-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..31 | u8 qs[32] | low eight bits of the number of run k |
/// | 32..47 | u8 qh[16] | nibble k % 2 of byte k / 2, low one first: top three bits of run k, then the sign of its shift |
/// | 48..55 | u16 scales[4] | scale of sub-block k in bits 3 (k % 4) to 3 (k % 4) + 2 of word k / 4; bits 12 to 15 of word k are nibble k of the half d |
/// Value: (d * (2 * scale + 1)) * (run[j] + shift), where the shift is 1/8, or -1/8 if the bit is set. Source: ggml-org/ggml, src/ggml-common.h
/// (struct), src/ggml-quants.c (order of the float operations).
/// </remarks>
internal readonly struct IQ1_M : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 56;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        ulong words = BinaryPrimitives.ReadUInt64LittleEndian(block[48..]);
        ushort bits = 0;
        for (int k = 0; k < 4; k++) bits |= (ushort)(((words >> ((16 * k) + 12)) & 15) << (4 * k));
        float d = (float)BitConverter.UInt16BitsToHalf(bits);
        Codebook grid = IQ1_S.Grid;
        for (int run = 0; run < 32; run++)
        {
            int high = block[32 + (run >> 1)] >> (4 * (run & 1)), sub = run >> 1;
            int factor = (int)(words >> ((16 * (sub >> 2)) + (3 * (sub & 3)))) & 7;
            float scale = d * ((2 * factor) + 1);
            IQ1_S.Shifted(grid[block[run] | ((high & 7) << 8)], (high >> 3) & 1, scale, values.Slice(8 * run, 8));
        }
    }
}
