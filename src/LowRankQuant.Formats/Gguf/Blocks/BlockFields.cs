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

    /// <summary>The inverse of <see cref="ScaleAndMinimum"/> for all eight pairs.</summary>
    public static void PackScalesAndMinima(ReadOnlySpan<byte> scales, ReadOnlySpan<byte> minima, Span<byte> b)
    {
        for (int j = 0; j < 4; j++)
        {
            b[j] = (byte)(scales[j] | (scales[j + 4] >> 4 << 6));
            b[j + 4] = (byte)(minima[j] | (minima[j + 4] >> 4 << 6));
            b[j + 8] = (byte)((scales[j + 4] & 15) | (minima[j + 4] << 4));
        }
    }

    public static void WriteHalf(Span<byte> bytes, ushort half) => BinaryPrimitives.WriteUInt16LittleEndian(bytes, half);

    /// <summary>The low nibbles of 32 codes: byte j holds element j and, above it, element j + 16.</summary>
    public static void PackNibbles(ReadOnlySpan<byte> codes, Span<byte> qs)
    {
        for (int j = 0; j < 16; j++) qs[j] = (byte)((codes[j] & 15) | (codes[j + 16] << 4));
    }

    /// <summary>Bit 4 of 32 codes as one word, element j in bit j.</summary>
    public static uint FifthBits(ReadOnlySpan<byte> codes)
    {
        uint bits = 0;
        for (int j = 0; j < 32; j++) bits |= (uint)((codes[j] >> 4) & 1) << j;
        return bits;
    }

    /// <summary>The low nibbles of 256 codes: per 64 elements 32 bytes, the first 32 low, the next 32 high.</summary>
    public static void PackNibblesOf64(ReadOnlySpan<byte> codes, Span<byte> qs)
    {
        for (int part = 0; part < 4; part++)
        {
            ReadOnlySpan<byte> low = codes.Slice(64 * part, 32), high = codes.Slice((64 * part) + 32, 32);
            for (int l = 0; l < 32; l++) qs[(32 * part) + l] = (byte)((low[l] & 15) | (high[l] << 4));
        }
    }

    /// <summary>The low two bits of 256 codes: per half of 128 elements 32 bytes, bit pair k of byte l = element 32 k + l.</summary>
    public static void PackPairs(ReadOnlySpan<byte> codes, Span<byte> qs)
    {
        for (int half = 0; half < 2; half++)
        {
            ReadOnlySpan<byte> part = codes.Slice(128 * half, 128);
            for (int l = 0; l < 32; l++)
                qs[(32 * half) + l] = (byte)((part[l] & 3) | ((part[l + 32] & 3) << 2) | ((part[l + 64] & 3) << 4) | (part[l + 96] << 6));
        }
    }

    /// <summary>One bit of 256 codes in 32 bytes: bit k of byte l = element 32 k + l.</summary>
    public static void PackBitPlanes(ReadOnlySpan<byte> codes, int bit, Span<byte> planes)
    {
        for (int l = 0; l < 32; l++)
        {
            int bits = 0;
            for (int k = 0; k < 8; k++) bits |= ((codes[(32 * k) + l] >> bit) & 1) << k;
            planes[l] = (byte)bits;
        }
    }

    /// <summary>The bits of a half.</summary>
    public static ushort HalfBits(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt16LittleEndian(bytes);

    /// <summary>The inverse of <see cref="PackNibbles"/>.</summary>
    public static void UnpackNibbles(ReadOnlySpan<byte> qs, Span<byte> codes)
    {
        for (int j = 0; j < 16; j++)
        {
            codes[j] = (byte)(qs[j] & 15);
            codes[j + 16] = (byte)(qs[j] >> 4);
        }
    }

    /// <summary>Puts a word of <see cref="FifthBits"/> above the nibbles of 32 codes.</summary>
    public static void AddFifthBits(uint bits, Span<byte> codes)
    {
        for (int j = 0; j < 32; j++) codes[j] |= (byte)(((bits >> j) & 1) << 4);
    }

    /// <summary>The inverse of <see cref="PackNibblesOf64"/>.</summary>
    public static void UnpackNibblesOf64(ReadOnlySpan<byte> qs, Span<byte> codes)
    {
        for (int i = 0; i < 256; i++) codes[i] = (byte)((qs[(32 * (i / 64)) + (i % 32)] >> (4 * (i / 32 % 2))) & 15);
    }

    /// <summary>The inverse of <see cref="PackPairs"/>.</summary>
    public static void UnpackPairs(ReadOnlySpan<byte> qs, Span<byte> codes)
    {
        for (int i = 0; i < 256; i++) codes[i] = (byte)((qs[(32 * (i / 128)) + (i % 32)] >> (2 * (i / 32 % 4))) & 3);
    }

    /// <summary>Puts the planes of <see cref="PackBitPlanes"/> into one bit of 256 codes.</summary>
    public static void AddBitPlanes(ReadOnlySpan<byte> planes, int bit, Span<byte> codes)
    {
        for (int i = 0; i < 256; i++) codes[i] |= (byte)(((planes[i % 32] >> (i / 32)) & 1) << bit);
    }

    /// <summary>The inverse of <see cref="PackScalesAndMinima"/>.</summary>
    public static void UnpackScalesAndMinima(ReadOnlySpan<byte> b, Span<byte> scales, Span<byte> minima)
    {
        for (int j = 0; j < 8; j++)
        {
            (int scale, int minimum) = ScaleAndMinimum(b, j);
            (scales[j], minima[j]) = ((byte)scale, (byte)minimum);
        }
    }
}
