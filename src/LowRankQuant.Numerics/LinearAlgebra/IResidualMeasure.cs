using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// A figure of what remains of a matrix while terms are peeled off, computed tile by tile so that it can share the pass that takes terms off.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public interface IResidualMeasure<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    /// <summary>Rows of a tile; tiles begin at its multiples.</summary>
    int RowsPerTile { get; }

    /// <summary>
    /// Whether the measure looks at <see cref="TileTerms{T}.Values"/> between terms: a tile is then copied, to lie densely in cache. A measure that has all terms
    /// taken off at once leaves it where it is.
    /// </summary>
    bool ReadsValues { get; }

    /// <summary>Takes all terms off a tile, in order.</summary>
    /// <param name="tile">The tile and its terms.</param>
    /// <param name="figures">[terms]; receives the figure of the tile after each term.</param>
    void TakeOff(TileTerms<T> tile, Span<double> figures);

    /// <summary>The figure of two parts together, such as their sum or the larger one.</summary>
    double Combine(double first, double second);

    /// <summary>The figure of a whole matrix.</summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="workers">Threads.</param>
    double Of(Memory<T> matrix, int columns, WorkerPool workers);
}

/// <summary>The largest magnitude of the whole matrix (amax), what the authors' rank rule looks at.</summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class LargestMagnitude<T> : IResidualMeasure<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    /// <inheritdoc/>
    public int RowsPerTile => 64;

    /// <inheritdoc/>
    public bool ReadsValues => false;

    /// <inheritdoc/>
    public void TakeOff(TileTerms<T> tile, Span<double> figures) => tile.TakeOffAll(figures);

    /// <inheritdoc/>
    public double Combine(double first, double second) => Math.Max(first, second);

    /// <inheritdoc/>
    public double Of(Memory<T> matrix, int columns, WorkerPool workers)
    {
        int panel = Math.Max(1, RowsPerTile * columns);
        var largest = new double[(matrix.Length + panel - 1) / panel];
        workers.Run(largest.Length, i =>
            largest[i] = double.CreateChecked(VectorKernels.MaxMagnitude<T>(matrix.Span.Slice(i * panel, Math.Min(panel, matrix.Length - (i * panel))))));
        return largest.Length == 0 ? 0 : largest.Max();
    }
}
