using System.Numerics;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>Takes rank-one terms off a matrix in one reading and writing, and measures what remains after each.</summary>
internal static class Deflation
{
    // A tile of so many columns stays in the second cache, with its part of the terms.
    private const int ColumnsPerTile = 256;

    /// <summary>A -= sum of left_t right_t^T. Tiles are cut by the shape alone and combined in order: threads never change a result.</summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="left">[terms, rows].</param>
    /// <param name="right">[terms, columns].</param>
    /// <param name="terms">Terms.</param>
    /// <param name="measure">Taken of the remainder after each term.</param>
    /// <param name="workers">Threads.</param>
    /// <returns>[terms]: the measure after each term.</returns>
    public static double[] TakeOff<T>(
        T[] matrix, int rows, int columns, T[] left, T[] right, int terms, IResidualMeasure<T> measure, WorkerPool workers)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int tileRows = Math.Min(measure.RowsPerTile, rows), tiles = (rows + tileRows - 1) / tileRows;
        var figures = new double[tiles * terms];
        workers.Run(tiles, number =>
        {
            int first = number * tileRows, here = Math.Min(tileRows, rows - first);
            var tile = new TileTerms<T>(tileRows, Math.Min(ColumnsPerTile, columns), terms);
            Span<double> sums = figures.AsSpan(number * terms, terms);
            var part = new double[terms];
            for (int column = 0; column < columns; column += ColumnsPerTile)
            {
                Span<T> values = matrix.AsSpan((first * columns) + column);
                tile.Load(values, columns, first, here, Math.Min(ColumnsPerTile, columns - column), left.AsSpan(first), rows, right.AsSpan(column));
                measure.TakeOff(tile, column == 0 ? sums : part);
                tile.Store(values, columns);
                for (int term = 0; column > 0 && term < terms; term++) sums[term] = measure.Combine(sums[term], part[term]);
            }
        });
        var result = new double[terms];
        for (int term = 0; term < terms; term++)
        {
            result[term] = figures[term];
            for (int tile = 1; tile < tiles; tile++) result[term] = measure.Combine(result[term], figures[(tile * terms) + term]);
        }
        return result;
    }
}
