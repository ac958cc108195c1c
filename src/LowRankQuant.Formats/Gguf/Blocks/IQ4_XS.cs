using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>4-bit blocks of 256 on sixteen unequal levels: 8 sub-blocks of 32 with 6-bit scales.</summary>
/// <remarks>
/// | bytes | field | meaning |
/// | --- | --- | --- |
/// | 0..1 | f16 d | scale of the scales |
/// | 2..3 | u16 scales_h | top two bits of scale k in bits 2 k and 2 k + 1 |
/// | 4..7 | u8 scales_l[4] | low four bits of scale k: nibble k % 2 of byte k / 2, low one first |
/// | 8..135 | u8 qs[128] | 16 bytes a sub-block; byte j: low nibble = element j, high nibble = element j + 16 |
/// Value: (d * (scale - 32)) * level[nibble]. Source: ggml-org/ggml, src/ggml-common.h (struct).
/// </remarks>
internal readonly struct IQ4_XS : IGgufBlock
{
    public static int Elements => 256;

    public static int Bytes => 136;

    public static void Decode(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = BlockFields.Half(block);
        int high = BinaryPrimitives.ReadUInt16LittleEndian(block[2..]);
        for (int sub = 0; sub < 8; sub++)
        {
            int scale = ((block[4 + (sub >> 1)] >> (4 * (sub & 1))) & 15) | (((high >> (2 * sub)) & 3) << 4);
            NibbleLevels.Decode(d * (scale - 32), NibbleLevels.NonLinear, block.Slice(8 + (16 * sub), 16), values.Slice(32 * sub, 32));
        }
    }
}
