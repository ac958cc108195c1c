using System.Numerics;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>Argument checks and scaling shared by the decompositions.</summary>
internal static class MatrixGuard
{
    /// <summary>Refuses element types without vectors, negative dimensions and spans of another size than rows x columns.</summary>
    public static void RequireShape<T>(ReadOnlySpan<T> matrix, int rows, int columns, string name)
    {
        if (!Vector<T>.IsSupported)
            throw new NotSupportedException($"Linear algebra works on float and double, not on {typeof(T).Name}; widen the values first.");
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        if (matrix.Length != (long)rows * columns)
            throw new ArgumentException($"'{name}' has {matrix.Length} elements where {rows} x {columns} = {(long)rows * columns} are needed.", name);
    }

    /// <summary>Refuses NaN and infinite elements: no iteration would end on them.</summary>
    public static void RequireFinite<T>(ReadOnlySpan<T> matrix, int columns, string name)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (int i = 0; i < matrix.Length; i++)
        {
            if (T.IsFinite(matrix[i])) continue;
            throw new ArgumentException($"'{name}' holds {matrix[i]} at row {i / columns}, column {i % columns}; all must be finite.", name);
        }
    }

    /// <summary>The exponent e for which the largest magnitude times 2^-e lies in [1, 2); 0 for a zero matrix.</summary>
    public static int ScaleExponent<T>(ReadOnlySpan<T> matrix)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T largest = T.Zero;
        foreach (T value in matrix) largest = T.Max(largest, T.Abs(value));
        return largest == T.Zero ? 0 : T.ILogB(largest);
    }

    /// <summary>Multiplies every element by 2^exponent; exact unless the result is subnormal.</summary>
    public static void ScaleByPowerOfTwo<T>(Span<T> values, int exponent)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (exponent == 0) return;
        for (int i = 0; i < values.Length; i++) values[i] = T.ScaleB(values[i], exponent);
    }

    /// <summary>Writes the transpose of a [rows, columns] matrix to <paramref name="destination"/> [columns, rows], tile by tile.</summary>
    public static void Transpose<T>(ReadOnlySpan<T> source, int rows, int columns, Span<T> destination)
        where T : unmanaged
    {
        const int tile = 16;
        for (int row = 0; row < rows; row += tile)
        {
            int rowEnd = Math.Min(row + tile, rows);
            for (int column = 0; column < columns; column += tile)
            {
                int columnEnd = Math.Min(column + tile, columns);
                for (int r = row; r < rowEnd; r++)
                {
                    for (int c = column; c < columnEnd; c++) destination[(c * rows) + r] = source[(r * columns) + c];
                }
            }
        }
    }

    /// <summary>Whether the element of largest magnitude (the first of equals) is negative: the sign convention of all vectors here.</summary>
    public static bool PointsDown<T>(ReadOnlySpan<T> vector)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T largest = T.Zero;
        foreach (T value in vector)
        {
            if (T.Abs(value) > T.Abs(largest)) largest = value;
        }
        return largest < T.Zero;
    }
}
