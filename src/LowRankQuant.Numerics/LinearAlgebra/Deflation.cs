using System.Collections.Concurrent;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Takes rank-one terms off a matrix in one reading and writing, and measures what remains after each. Tiles are cut by the shape alone and combined in
/// order: threads never change a result.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
/// <param name="matrix">[rows, columns].</param>
/// <param name="rows">Rows.</param>
/// <param name="columns">Columns.</param>
/// <param name="workers">Threads.</param>
internal sealed class Deflation<T>(Memory<T> matrix, int rows, int columns, WorkerPool workers)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    // A tile of this size stays in the second cache, with its part of the terms; its rows should still be long enough to be fetched ahead.
    private const int TileBytes = 1 << 18;
    private const int LeastColumns = 64;
    private const int MostJobs = 32;

    // Tiles between calls, which all need the same memory but for the last one.
    private readonly ConcurrentBag<TileTerms<T>> _tiles = [];

    /// <summary>A -= sum of left_t right_t^T.</summary>
    /// <param name="left">[terms, rows].</param>
    /// <param name="right">[terms, columns].</param>
    /// <param name="terms">Terms.</param>
    /// <param name="measure">Taken of the remainder after each term.</param>
    /// <returns>[terms]: the measure after each term.</returns>
    public double[] TakeOff(T[] left, T[] right, int terms, IResidualMeasure<T> measure)
    {
        if (rows == 0 || columns == 0) return new double[terms];
        int tileRows = Math.Min(measure.RowsPerTile, rows), tiles = (rows + tileRows - 1) / tileRows;
        int tileColumns = Math.Min(columns, Math.Max(LeastColumns, TileBytes / (tileRows * Unsafe.SizeOf<T>())));
        int tilesPerJob = (tiles + MostJobs - 1) / MostJobs, jobs = (tiles + tilesPerJob - 1) / tilesPerJob;
        var figures = new double[tiles * terms];
        workers.Run(jobs, job =>
        {
            if (!_tiles.TryTake(out TileTerms<T>? tile) || !tile.Holds(tileRows, tileColumns, terms, measure.ReadsValues))
                tile = new TileTerms<T>(tileRows, tileColumns, terms, measure.ReadsValues);
            var part = new double[terms];
            for (int number = job * tilesPerJob; number < Math.Min(tiles, (job + 1) * tilesPerJob); number++)
            {
                int first = number * tileRows, here = Math.Min(tileRows, rows - first);
                Span<double> sums = figures.AsSpan(number * terms, terms);
                for (int column = 0; column < columns; column += tileColumns)
                {
                    Memory<T> values = matrix[((first * columns) + column)..];
                    tile.Load(values, columns, first, here, Math.Min(tileColumns, columns - column), left.AsSpan(first), rows, column == 0,
                        right.AsSpan(column));
                    measure.TakeOff(tile, column == 0 ? sums : part);
                    tile.Store();
                    for (int term = 0; column > 0 && term < terms; term++) sums[term] = measure.Combine(sums[term], part[term]);
                }
            }
            _tiles.Add(tile);
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
