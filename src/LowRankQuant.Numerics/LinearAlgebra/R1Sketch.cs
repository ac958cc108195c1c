using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// R1-Sketch (FLRQ, Eq. 5-7 and 13-14): peels rank-one terms off a matrix A [rows, columns], each found by normalised power iterations from a given
/// start vector s:
/// <code>
/// P = A s;  repeat it times: P = A (A^T P);  p = P / |P|;  k = A^T p;  left = |k| p, right = k / |k|;  A -= p k^T
/// </code>
/// The term is the exact projection of A onto p, so |A - p k^T|^2 = |A|^2 - |k|^2 at every step. For float and double.
/// </summary>
/// <remarks>
/// The work is bound by memory, so A is read as few times as the products allow.
/// A row is used for both products of a power step while it is in cache: y_i = a_i z, then z' += y_i a_i, which makes z' = A^T (A z) in one reading.
/// Terms are found several at a time and taken off together (<see cref="Deflation{T}"/>); within such a batch the remainder is A minus the terms found
/// so far, whose part of a product is theirs by hand: (A - sum p_i k_i^T) z = A z - sum p_i (k_i^T z). A term so costs it + 1 readings and its share of the
/// batch's one reading and writing, where the formulas written out read 2 it + 4 times and write once.
/// Panels of rows are cut by the shape alone and their sums are added in order: threads never change a result.
/// </remarks>
/// <typeparam name="T">float or double.</typeparam>
public sealed class R1Sketch<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private const int MostPanels = 32;

    // Elements of a panel below which its own sums, and their addition, would show.
    private const int SmallestPanel = 1 << 15;
    private readonly WorkerPool _workers;
    private readonly int _panelRows;
    private readonly int _panels;
    private readonly int _iterations;
    private readonly Deflation<T> _deflation;
    private readonly Memory<T> _partial;
    private readonly Memory<T> _z;
    private readonly T[] _y;

    /// <summary>Prepares to peel a matrix, which is overwritten with what remains of it.</summary>
    /// <param name="matrix">[rows, columns], row-major; stays the caller's. Read twice as fast where it begins at a cache line (<see cref="AlignedMemory"/>).</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="powerIterations">it; 2 in the paper.</param>
    /// <param name="workers">Threads.</param>
    /// <exception cref="ArgumentException">The length does not fit, or an element is NaN or infinite.</exception>
    public R1Sketch(Memory<T> matrix, int rows, int columns, int powerIterations, WorkerPool workers)
    {
        MatrixGuard.RequireShape<T>(matrix.Span, rows, columns, nameof(matrix));
        MatrixGuard.RequireFinite<T>(matrix.Span, Math.Max(1, columns), nameof(matrix));
        ArgumentOutOfRangeException.ThrowIfNegative(powerIterations);
        Matrix = matrix;
        Rows = rows;
        Columns = columns;
        _iterations = powerIterations;
        _workers = workers;
        _deflation = new Deflation<T>(matrix, rows, columns, workers);
        int least = (SmallestPanel + columns - 1) / Math.Max(1, columns), even = (rows + MostPanels - 1) / MostPanels;
        _panelRows = (Math.Max(least, even) + SketchKernels.Rows - 1) / SketchKernels.Rows * SketchKernels.Rows;
        _panels = (rows + _panelRows - 1) / _panelRows;
        _partial = AlignedMemory.Allocate<T>(_panels * columns);
        _z = AlignedMemory.Allocate<T>(columns);
        _y = new T[rows];
    }

    /// <summary>The remainder, [rows, columns].</summary>
    public Memory<T> Matrix { get; }

    /// <summary>Rows.</summary>
    public int Rows { get; }

    /// <summary>Columns.</summary>
    public int Columns { get; }

    /// <summary>Finds the next terms, one after the other, and takes them off.</summary>
    /// <param name="starts">[terms, columns]: one start vector s a row, such as standard normal numbers.</param>
    /// <param name="terms">Terms to peel.</param>
    /// <param name="left">[terms, rows]; row i receives |k| p of term i. All zero when nothing remains.</param>
    /// <param name="right">[terms, columns]; row i receives k / |k|. The energy |A|^2 falls by the square of the left vector's length.</param>
    /// <param name="measure">Taken of the remainder after each term.</param>
    /// <returns>[terms]: the measure after each term.</returns>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public double[] Peel(T[] starts, int terms, T[] left, T[] right, IResidualMeasure<T> measure)
    {
        MatrixGuard.RequireShape<T>(starts, terms, Columns, nameof(starts));
        MatrixGuard.RequireShape<T>(left, terms, Rows, nameof(left));
        MatrixGuard.RequireShape<T>(right, terms, Columns, nameof(right));
        Span<T> z = _z.Span;
        for (int term = 0; term < terms; term++)
        {
            starts.AsSpan(term * Columns, Columns).CopyTo(z);
            Product(left, right, term);
            for (int i = 0; i < _iterations; i++)
            {
                Normalise(z);
                Product(left, right, term);
            }
            // Now y = A z and z = A^T y: p = y / |y|, k = A^T p = z / |y|, and |k| = |z| / |y|.
            T length = VectorKernels.Length<T>(_y), norm = VectorKernels.Length<T>(z);
            T scale = length > T.Zero ? norm / length / length : T.Zero;
            Span<T> found = left.AsSpan(term * Rows, Rows);
            for (int i = 0; i < Rows; i++) found[i] = scale * _y[i];
            found = right.AsSpan(term * Columns, Columns);
            for (int j = 0; j < Columns; j++) found[j] = norm > T.Zero ? z[j] / norm : T.Zero;
        }
        return _deflation.TakeOff(left, right, terms, measure);
    }

    private static void Normalise(Span<T> z)
    {
        T length = VectorKernels.Length<T>(z);
        if (length > T.Zero)
        {
            for (int j = 0; j < z.Length; j++) z[j] /= length;
        }
    }

    // y becomes R z and z becomes R^T y for R = A - the terms found in this batch so far.
    private void Product(T[] left, T[] right, int found)
    {
        var parts = new T[found];
        Span<T> z = _z.Span;
        for (int i = 0; i < found; i++) parts[i] = VectorKernels.Dot<T>(right.AsSpan(i * Columns, Columns), z);
        _workers.Run(_panels, panel =>
        {
            int first = panel * _panelRows;
            PanelProduct(first, Math.Min(_panelRows, Rows - first), left, parts);
        });
        z.Clear();
        for (int panel = 0; panel < _panels; panel++) VectorKernels.AddScaled(T.One, _partial.Span.Slice(panel * Columns, Columns), z);
        for (int i = 0; i < found; i++)
            VectorKernels.AddScaled(-VectorKernels.Dot<T>(left.AsSpan(i * Rows, Rows), _y), right.AsSpan(i * Columns, Columns), z);
    }

    private void PanelProduct(int first, int rows, T[] left, ReadOnlySpan<T> parts)
    {
        const int group = SketchKernels.Rows;
        Span<T> sums = _partial.Span.Slice(first / _panelRows * Columns, Columns), y = _y.AsSpan(first, rows);
        ReadOnlySpan<T> panel = Matrix.Span.Slice(first * Columns, rows * Columns), z = _z.Span;
        sums.Clear();
        y.Clear();
        for (int i = 0; i < parts.Length; i++) VectorKernels.AddScaled(-parts[i], left.AsSpan((i * Rows) + first, rows), y);
        int grouped = rows / group * group;
        for (int row = 0; row < grouped; row += group)
            SketchKernels.ProductsAndSums(panel.Slice(row * Columns, group * Columns), Columns, z, sums, y.Slice(row, group));
        for (int row = grouped; row < rows; row++)
        {
            ReadOnlySpan<T> values = panel.Slice(row * Columns, Columns);
            y[row] += VectorKernels.Dot(values, z);
            VectorKernels.AddScaled(y[row], values, sums);
        }
    }
}
