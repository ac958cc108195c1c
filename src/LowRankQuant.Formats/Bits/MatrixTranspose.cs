namespace LowRankQuant.Formats.Bits;

/// <summary>Transposition of codes, zero points and scales: GPTQ and AWQ store [in, out] where everything else is [out, in].</summary>
internal static class MatrixTranspose
{
    // Both tiles stay in the first-level cache, whatever the matrix.
    private const int Tile = 64;

    /// <summary>The transpose [columns, rows] of a row-major matrix [rows, columns].</summary>
    public static T[] Of<T>(ReadOnlySpan<T> source, int rows, int columns)
    {
        if (source.Length != (long)rows * columns) throw new ArgumentException($"{source.Length} elements for {rows} x {columns}.", nameof(source));
        var result = new T[source.Length];
        for (int top = 0; top < rows; top += Tile)
        {
            int bottom = Math.Min(top + Tile, rows);
            for (int left = 0; left < columns; left += Tile)
            {
                int right = Math.Min(left + Tile, columns);
                for (int row = top; row < bottom; row++)
                {
                    for (int column = left; column < right; column++) result[(column * rows) + row] = source[(row * columns) + column];
                }
            }
        }
        return result;
    }
}
