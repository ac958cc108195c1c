namespace LowRankQuant.Formats.Bits;

/// <summary>
/// The packing of compressed-tensors up to 0.17.1: floor(32 / bits) codes in a 32-bit word, lowest bits first, the top bits of the word unused.
/// Code i is at bit bits * (i % k) of word i / k, k = floor(32 / bits). Equal to <see cref="DenseBitPacker"/> for 1, 2, 4 and 8 bits. Reading only.
/// </summary>
public static class PaddedBitPacker
{
    /// <summary>Words of a row: ceil(columns / floor(32 / bits)).</summary>
    /// <exception cref="ArgumentOutOfRangeException">Bits are not 1..8 or columns are negative.</exception>
    public static int WordsPerRow(int columns, int bits)
    {
        DenseBitPacker.CheckBits(bits);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        int perWord = 32 / bits;
        return (int)(((long)columns + perWord - 1) / perWord);
    }

    /// <summary>Unpacks a matrix whose rows were packed.</summary>
    /// <param name="words">[rows, WordsPerRow(columns)], row-major.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bits">Width of a code, 1..8.</param>
    /// <param name="codes">Receives [rows, columns].</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void Unpack(ReadOnlySpan<uint> words, int rows, int columns, int bits, Span<byte> codes)
    {
        int width = WordsPerRow(columns, bits), perWord = 32 / bits;
        DenseBitPacker.CheckMatrix(codes.Length, words.Length, rows, columns, width);
        uint top = (1u << bits) - 1;
        for (int r = 0; r < rows; r++)
        {
            Span<byte> row = codes.Slice(r * columns, columns);
            for (int w = 0; w < width; w++)
            {
                uint word = words[(r * width) + w];
                Span<byte> part = row.Slice(w * perWord, Math.Min(perWord, columns - (w * perWord)));
                for (int i = 0; i < part.Length; i++, word >>= bits) part[i] = (byte)(word & top);
            }
        }
    }

    /// <summary>Unpacks a matrix packed along its first dimension.</summary>
    /// <param name="words">[WordsPerRow(rows), columns], row-major.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bits">Width of a code, 1..8.</param>
    /// <param name="codes">Receives [rows, columns].</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void UnpackColumns(ReadOnlySpan<uint> words, int rows, int columns, int bits, Span<byte> codes)
    {
        int height = WordsPerRow(rows, bits), perWord = 32 / bits;
        DenseBitPacker.CheckMatrix(codes.Length, words.Length, rows, columns, height, alongRows: false);
        uint top = (1u << bits) - 1;
        for (int r = 0; r < rows; r++)
        {
            int shift = bits * (r % perWord);
            ReadOnlySpan<uint> source = words.Slice(r / perWord * columns, columns);
            Span<byte> row = codes.Slice(r * columns, columns);
            for (int c = 0; c < row.Length; c++) row[c] = (byte)((source[c] >> shift) & top);
        }
    }
}
