using System.Buffers.Binary;

namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>Fields that several block types share.</summary>
internal static class BlockFields
{
    public static float Half(ReadOnlySpan<byte> bytes) => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes);

    /// <summary>Six-bit scale and minimum j (0..7) of Q4_K and Q5_K.</summary>
    /// <remarks>
    /// | j | scale | minimum |
    /// | --- | --- | --- |
    /// | 0..3 | b[j] bits 0..5 | b[j+4] bits 0..5 |
    /// | 4..7 | b[j+4] bits 0..3, then b[j-4] bits 6..7 | b[j+4] bits 4..7, then b[j] bits 6..7 |
    /// </remarks>
    public static (int Scale, int Minimum) ScaleAndMinimum(ReadOnlySpan<byte> b, int j) => j < 4
        ? (b[j] & 63, b[j + 4] & 63)
        : ((b[j + 4] & 15) | (b[j - 4] >> 6 << 4), (b[j + 4] >> 4) | (b[j] >> 6 << 4));
}
