using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Formats.Bits;

/// <summary>
/// Dense bit streams: codes of 1 to 8 bits, least significant bit first, in 32-bit words, code after code without gaps. Bit k of code i is bit
/// (i*bits + k) % 32 of word (i*bits + k) / 32; bits after the last code are 0.
/// </summary>
/// <remarks>
/// | bits | codes in one word | words for 32 codes |
/// | --- | --- | --- |
/// | 1, 2, 4, 8 | 32 / bits, none crosses a word | bits |
/// | 3, 5, 6, 7 | codes cross word borders | bits |
/// Used along rows by compressed-tensors from 0.18 on and by MLX, along columns by GPTQ. Eight codes are exactly "bits" bytes, so the fast path
/// moves eight at a time through one 64-bit register. Words are little-endian, as on every supported machine.
/// </remarks>
public static class DenseBitPacker
{
    /// <summary>Words of a row: ceil(columns * bits / 32).</summary>
    /// <exception cref="ArgumentOutOfRangeException">Bits are not 1..8, columns are negative, or the result does not fit.</exception>
    public static int WordsPerRow(int columns, int bits)
    {
        CheckBits(bits);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        return (int)((((long)columns * bits) + 31) / 32);
    }

    /// <summary>Packs one row.</summary>
    /// <param name="codes">Codes; bits above the width are ignored.</param>
    /// <param name="bits">Width of a code, 1..8.</param>
    /// <param name="words">Receives <see cref="WordsPerRow"/> words.</param>
    /// <exception cref="ArgumentException">The destination has another length.</exception>
    public static void PackRow(ReadOnlySpan<byte> codes, int bits, Span<uint> words)
    {
        CheckLength(words.Length, WordsPerRow(codes.Length, bits), nameof(words));
        Span<byte> bytes = MemoryMarshal.AsBytes(words);
        if (bits == 8)
        {
            codes.CopyTo(bytes);
            bytes[codes.Length..].Clear();
            return;
        }
        bytes.Clear();
        ulong mask = ByteMask(bits);
        int i = 0, position = 0;
        // Whole runs of eight codes while a 64-bit store stays inside the row; the bytes beyond the run are overwritten by the next one.
        for (; i + 8 <= codes.Length && position + 8 <= bytes.Length; i += 8, position += bits)
        {
            ulong eight = Unsafe.ReadUnaligned<ulong>(ref Unsafe.AsRef(in codes[i]));
            Unsafe.WriteUnaligned(ref bytes[position], Gather(eight, mask, bits));
        }
        int bit = i * bits;
        for (; i < codes.Length; i++, bit += bits)
        {
            uint code = (uint)(codes[i] & ((1 << bits) - 1));
            bytes[bit >> 3] |= (byte)(code << (bit & 7));
            if ((bit & 7) + bits > 8) bytes[(bit >> 3) + 1] |= (byte)(code >> (8 - (bit & 7)));
        }
    }

    /// <summary>Unpacks one row.</summary>
    /// <param name="words"><see cref="WordsPerRow"/> words.</param>
    /// <param name="bits">Width of a code, 1..8.</param>
    /// <param name="codes">Receives the codes; its length is the number of columns.</param>
    /// <exception cref="ArgumentException">The source has another length.</exception>
    public static void UnpackRow(ReadOnlySpan<uint> words, int bits, Span<byte> codes)
    {
        CheckLength(words.Length, WordsPerRow(codes.Length, bits), nameof(words));
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(words);
        if (bits == 8)
        {
            bytes[..codes.Length].CopyTo(codes);
            return;
        }
        ulong mask = ByteMask(bits);
        int i = 0, position = 0;
        for (; i + 8 <= codes.Length && position + 8 <= bytes.Length; i += 8, position += bits)
        {
            ulong run = Unsafe.ReadUnaligned<ulong>(ref Unsafe.AsRef(in bytes[position]));
            Unsafe.WriteUnaligned(ref codes[i], Scatter(run, mask, bits));
        }
        int bit = i * bits, top = (1 << bits) - 1;
        for (; i < codes.Length; i++, bit += bits)
        {
            int value = bytes[bit >> 3] >> (bit & 7);
            if ((bit & 7) + bits > 8) value |= bytes[(bit >> 3) + 1] << (8 - (bit & 7));
            codes[i] = (byte)(value & top);
        }
    }

    /// <summary>Packs a matrix row by row.</summary>
    /// <param name="codes">Codes, row-major [rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bits">Width of a code, 1..8.</param>
    /// <param name="words">Receives [rows, WordsPerRow(columns)].</param>
    public static void Pack(ReadOnlySpan<byte> codes, int rows, int columns, int bits, Span<uint> words)
    {
        int width = WordsPerRow(columns, bits);
        CheckMatrix(codes.Length, words.Length, rows, columns, width);
        for (int r = 0; r < rows; r++) PackRow(codes.Slice(r * columns, columns), bits, words.Slice(r * width, width));
    }

    /// <summary>Unpacks a matrix row by row; the inverse of <see cref="Pack"/>.</summary>
    public static void Unpack(ReadOnlySpan<uint> words, int rows, int columns, int bits, Span<byte> codes)
    {
        int width = WordsPerRow(columns, bits);
        CheckMatrix(codes.Length, words.Length, rows, columns, width);
        for (int r = 0; r < rows; r++) UnpackRow(words.Slice(r * width, width), bits, codes.Slice(r * columns, columns));
    }

    /// <summary>Packs a matrix along its first dimension: every column is one stream.</summary>
    /// <param name="codes">Codes, row-major [rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bits">Width of a code, 1..8.</param>
    /// <param name="words">Receives [WordsPerRow(rows), columns], row-major.</param>
    public static void PackColumns(ReadOnlySpan<byte> codes, int rows, int columns, int bits, Span<uint> words)
    {
        int height = WordsPerRow(rows, bits);
        CheckMatrix(codes.Length, words.Length, rows, columns, height, alongRows: false);
        words.Clear();
        uint top = (1u << bits) - 1;
        for (int r = 0; r < rows; r++)
        {
            long bit = (long)r * bits;
            int word = (int)(bit >> 5), shift = (int)(bit & 31);
            Span<uint> low = words.Slice(word * columns, columns);
            Span<uint> high = shift + bits > 32 ? words.Slice((word + 1) * columns, columns) : default;
            ReadOnlySpan<byte> row = codes.Slice(r * columns, columns);
            for (int c = 0; c < row.Length; c++)
            {
                uint code = row[c] & top;
                low[c] |= code << shift;
                if (!high.IsEmpty) high[c] |= code >> (32 - shift);
            }
        }
    }

    /// <summary>Unpacks a matrix packed along its first dimension; the inverse of <see cref="PackColumns"/>.</summary>
    public static void UnpackColumns(ReadOnlySpan<uint> words, int rows, int columns, int bits, Span<byte> codes)
    {
        int height = WordsPerRow(rows, bits);
        CheckMatrix(codes.Length, words.Length, rows, columns, height, alongRows: false);
        uint top = (1u << bits) - 1;
        for (int r = 0; r < rows; r++)
        {
            long bit = (long)r * bits;
            int word = (int)(bit >> 5), shift = (int)(bit & 31);
            ReadOnlySpan<uint> low = words.Slice(word * columns, columns);
            ReadOnlySpan<uint> high = shift + bits > 32 ? words.Slice((word + 1) * columns, columns) : default;
            Span<byte> row = codes.Slice(r * columns, columns);
            for (int c = 0; c < row.Length; c++)
            {
                uint value = low[c] >> shift;
                if (!high.IsEmpty) value |= high[c] << (32 - shift);
                row[c] = (byte)(value & top);
            }
        }
    }

    internal static void CheckBits(int bits)
    {
        if (bits is < 1 or > 8) throw new ArgumentOutOfRangeException(nameof(bits), bits, "Codes have 1 to 8 bits.");
    }

    internal static void CheckMatrix(int codes, int words, int rows, int columns, int packed, bool alongRows = true)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        if (codes != (long)rows * columns) throw new ArgumentException($"{codes} codes for {rows} x {columns}.", nameof(codes));
        CheckLength(words, (long)packed * (alongRows ? rows : columns), nameof(words));
    }

    private static void CheckLength(long found, long expected, string parameter)
    {
        if (found != expected) throw new ArgumentException($"{found} words where {expected} are needed.", parameter);
    }

    private static ulong ByteMask(int bits) => 0x0101_0101_0101_0101UL * (ulong)((1 << bits) - 1);

    // Eight codes, one a byte, to 8 * bits adjacent bits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Gather(ulong eight, ulong mask, int bits)
    {
        if (Bmi2.X64.IsSupported) return Bmi2.X64.ParallelBitExtract(eight, mask);
        eight &= mask;
        ulong result = 0;
        for (int k = 0; k < 8; k++) result |= ((eight >> (8 * k)) & 0xFF) << (bits * k);
        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Scatter(ulong run, ulong mask, int bits)
    {
        if (Bmi2.X64.IsSupported) return Bmi2.X64.ParallelBitDeposit(run, mask);
        ulong result = 0;
        for (int k = 0; k < 8; k++) result |= (run >> (bits * k)) << (8 * k) & (mask & (0xFFUL << (8 * k)));
        return result;
    }
}
