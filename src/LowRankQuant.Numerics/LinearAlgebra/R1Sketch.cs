using System.Numerics;

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
/// The work is bound by memory, so A is read as few times as the products allow. A row is used for both products of a power step while it is in
/// cache: y_i = a_i z, then z' += y_i a_i, which makes z' = A^T (A z) in one reading (<see cref="SketchKernels"/>). Deflation, the largest magnitude of
/// what remains and the first product of the next sketch share one more reading (and writing). A term costs it readings and one reading with writing,
/// where the formulas written out read 2 it + 4 times. Panels of rows are cut by the shape alone and their sums are added in order: threads never
/// change a result.
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
    private readonly T[] _partial;
    private readonly T[] _panelMax;
    private readonly T[] _z;
    private readonly T[] _y;
    private readonly T[] _p;
    private readonly T[] _k;

    /// <summary>Prepares to peel a matrix, which is overwritten with what remains of it.</summary>
    /// <param name="matrix">[rows, columns], row-major; stays the caller's and always holds the current remainder.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="powerIterations">it; 2 in the paper.</param>
    /// <param name="workers">Threads.</param>
    /// <exception cref="ArgumentException">The length does not fit, or an element is NaN or infinite.</exception>
    public R1Sketch(T[] matrix, int rows, int columns, int powerIterations, WorkerPool workers)
    {
        MatrixGuard.RequireShape<T>(matrix, rows, columns, nameof(matrix));
        MatrixGuard.RequireFinite<T>(matrix, Math.Max(1, columns), nameof(matrix));
        ArgumentOutOfRangeException.ThrowIfNegative(powerIterations);
        Matrix = matrix;
        Rows = rows;
        Columns = columns;
        _iterations = powerIterations;
        _workers = workers;
        int least = (SmallestPanel + columns - 1) / Math.Max(1, columns), even = (rows + MostPanels - 1) / MostPanels;
        _panelRows = (Math.Max(least, even) + SketchKernels.Rows - 1) / SketchKernels.Rows * SketchKernels.Rows;
        _panels = (rows + _panelRows - 1) / _panelRows;
        _partial = new T[_panels * columns];
        _panelMax = new T[_panels];
        _z = new T[columns];
        _y = new T[rows];
        _p = new T[rows];
        _k = new T[columns];
    }

    /// <summary>The remainder, [rows, columns].</summary>
    public T[] Matrix { get; }

    /// <summary>Rows.</summary>
    public int Rows { get; }

    /// <summary>Columns.</summary>
    public int Columns { get; }

    /// <summary>Largest magnitude of the remainder after the last <see cref="Begin"/> or <see cref="Peel"/>.</summary>
    public T LargestMagnitude { get; private set; }

    /// <summary>Starts the first sketch; also finds the largest magnitude of the matrix.</summary>
    /// <param name="start">s, [columns], such as standard normal numbers.</param>
    public void Begin(ReadOnlySpan<T> start)
    {
        start.CopyTo(_z);
        Panels((first, rows) => VectorKernels.MaxMagnitude<T>(Matrix.AsSpan(first * Columns, rows * Columns)));
        TakeLargest();
        Product(deflate: false);
    }

    /// <summary>Finishes the sketch that is under way, takes its term off, and starts the next one.</summary>
    /// <param name="left">[rows]; receives |k| p. All zero when nothing remains.</param>
    /// <param name="right">[columns]; receives k / |k|.</param>
    /// <param name="nextStart">[columns], the next sketch's start vector; empty when no other follows.</param>
    /// <returns>|k|, the estimate of the largest singular value; the energy |A|^2 falls by its square.</returns>
    public T Peel(Span<T> left, Span<T> right, ReadOnlySpan<T> nextStart)
    {
        for (int i = 0; i < _iterations; i++)
        {
            Normalise(_z);
            Product(deflate: false);
        }
        // Now y = A z and z = A^T y: p = y / |y| and k = A^T p = z / |y|.
        T length = VectorKernels.Length<T>(_y);
        if (length > T.Zero)
        {
            for (int i = 0; i < Rows; i++) _p[i] = _y[i] / length;
            for (int j = 0; j < Columns; j++) _k[j] = _z[j] / length;
        }
        else
        {
            Array.Clear(_p);
            Array.Clear(_k);
        }
        T sigma = VectorKernels.Length<T>(_k);
        for (int i = 0; i < Rows; i++) left[i] = sigma * _p[i];
        for (int j = 0; j < Columns; j++) right[j] = sigma > T.Zero ? _k[j] / sigma : T.Zero;
        if (nextStart.IsEmpty)
        {
            Panels(Deflate);
        }
        else
        {
            nextStart.CopyTo(_z);
            Product(deflate: true);
        }
        TakeLargest();
        return sigma;
    }

    private static void Normalise(T[] z)
    {
        T length = VectorKernels.Length<T>(z);
        if (length > T.Zero)
        {
            for (int j = 0; j < z.Length; j++) z[j] /= length;
        }
    }

    // z becomes A^T (A z) and y becomes A z; deflates A first where asked.
    private void Product(bool deflate)
    {
        Panels((first, rows) => PanelProduct(first, rows, deflate));
        Array.Clear(_z);
        for (int panel = 0; panel < _panels; panel++) VectorKernels.AddScaled(T.One, _partial.AsSpan(panel * Columns, Columns), _z.AsSpan());
    }

    private T PanelProduct(int first, int rows, bool deflate)
    {
        const int group = SketchKernels.Rows;
        Span<T> sums = _partial.AsSpan(first / _panelRows * Columns, Columns), y = _y.AsSpan(first, rows);
        ReadOnlySpan<T> p = _p.AsSpan(first, rows);
        Span<T> panel = Matrix.AsSpan(first * Columns, rows * Columns);
        sums.Clear();
        T largest = T.Zero;
        int grouped = rows / group * group;
        if (!deflate)
        {
            for (int row = 0; row < grouped; row += group)
                SketchKernels.ProductsAndSums<T>(panel.Slice(row * Columns, group * Columns), Columns, _z, sums, y.Slice(row, group));
        }
        else if (grouped > 0)
        {
            for (int row = 0; row < group; row++) largest = T.Max(largest, RowProduct(panel, row, p, y, deflate));
            for (int row = group; row < grouped; row += group)
            {
                largest = T.Max(largest, SketchKernels.DeflateProductsAndSums(
                    panel.Slice((row - group) * Columns, 2 * group * Columns), Columns, p.Slice(row, group), _k, _z, y.Slice(row - group, group), sums, y.Slice(row, group)));
            }
            SketchKernels.AddSums<T>(panel.Slice((grouped - group) * Columns, group * Columns), Columns, y.Slice(grouped - group, group), sums);
        }
        for (int row = grouped; row < rows; row++)
        {
            largest = T.Max(largest, RowProduct(panel, row, p, y, deflate));
            VectorKernels.AddScaled(y[row], panel.Slice(row * Columns, Columns), sums);
        }
        return largest;
    }

    // The first group of a panel, which has none before it, and the rows that fill no group.
    private T RowProduct(Span<T> panel, int row, ReadOnlySpan<T> p, Span<T> y, bool deflate)
    {
        Span<T> values = panel.Slice(row * Columns, Columns);
        T largest = deflate ? VectorKernels.AddScaledAndMaxMagnitude<T>(-p[row], _k, values) : T.Zero;
        y[row] = VectorKernels.Dot<T>(values, _z);
        return largest;
    }

    private T Deflate(int first, int rows)
    {
        T largest = T.Zero;
        for (int row = first; row < first + rows; row++)
            largest = T.Max(largest, VectorKernels.AddScaledAndMaxMagnitude<T>(-_p[row], _k, Matrix.AsSpan(row * Columns, Columns)));
        return largest;
    }

    // Runs body(first row, rows) for every panel and keeps what it returns, the largest magnitude of the panel where it was measured.
    private void Panels(Func<int, int, T> body) => _workers.Run(_panels, panel =>
    {
        int first = panel * _panelRows;
        _panelMax[panel] = body(first, Math.Min(_panelRows, Rows - first));
    });

    private void TakeLargest()
    {
        LargestMagnitude = T.Zero;
        foreach (T largest in _panelMax) LargestMagnitude = T.Max(LargestMagnitude, largest);
    }
}
