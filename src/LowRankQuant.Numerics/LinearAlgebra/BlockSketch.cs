using System.Numerics;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// The block form of <see cref="R1Sketch{T}"/>: several vectors at once as matrix products, then the terms of the block in descending order.
/// <code>
/// Q = orth(A S);  repeat it times: Q = orth(A orth(A^T Q));  B = Q^T A = U diag(s) V^T;  term i: left = s_i Q u_i, right = v_i
/// </code>
/// All terms of a block are taken off in one pass over cache-sized tiles (<see cref="Deflation{T}"/>), and a measure of the remainder is taken after
/// each: a rank rule sees the same sequence as with single sketches.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class BlockSketch<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly int _iterations;
    private readonly WorkerPool _workers;
    private readonly Deflation<T> _deflation;

    /// <summary>Prepares to peel a matrix, which is overwritten with what remains of it.</summary>
    /// <param name="matrix">[rows, columns], row-major; stays the caller's.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="powerIterations">it.</param>
    /// <param name="workers">Threads.</param>
    /// <exception cref="ArgumentException">The length does not fit, or an element is NaN or infinite.</exception>
    public BlockSketch(T[] matrix, int rows, int columns, int powerIterations, WorkerPool workers)
    {
        MatrixGuard.RequireShape<T>(matrix, rows, columns, nameof(matrix));
        MatrixGuard.RequireFinite<T>(matrix, Math.Max(1, columns), nameof(matrix));
        ArgumentOutOfRangeException.ThrowIfNegative(powerIterations);
        Matrix = matrix;
        Rows = rows;
        Columns = columns;
        _iterations = powerIterations;
        _workers = workers;
        _deflation = new Deflation<T>(matrix, rows, columns, workers);
    }

    /// <summary>The remainder, [rows, columns].</summary>
    public T[] Matrix { get; }

    /// <summary>Rows.</summary>
    public int Rows { get; }

    /// <summary>Columns.</summary>
    public int Columns { get; }

    /// <summary>Peels the next terms.</summary>
    /// <param name="starts">S^T [width, columns]: one start vector a row.</param>
    /// <param name="width">Start vectors, at most the smaller dimension; a few more than terms make the last terms more exact.</param>
    /// <param name="terms">Terms to peel, at most the vectors.</param>
    /// <param name="left">[terms, rows]; row i receives s_i Q u_i.</param>
    /// <param name="right">[terms, columns]; row i receives v_i.</param>
    /// <param name="measure">Taken of the remainder after each term.</param>
    /// <returns>[terms]: the measure after each term.</returns>
    public double[] Peel(T[] starts, int width, int terms, T[] left, T[] right, IResidualMeasure<T> measure)
    {
        if (terms > width) throw new ArgumentException($"{terms} terms of {width} vectors.", nameof(terms));
        MatrixGuard.RequireShape<T>(left, terms, Rows, nameof(left));
        MatrixGuard.RequireShape<T>(right, terms, Columns, nameof(right));
        // Vectors are kept as rows: [width, rows] and [width, columns].
        RangeFinder.Find(Matrix, Rows, Columns, starts, width, _iterations, _workers, out T[] q, out T[] b);
        var u = new T[width * width];
        T[] s = new T[width], v = new T[width * Columns], leading = new T[width * terms];
        Svd.Decompose<T>(b, width, Columns, u, s, v);
        v.AsSpan(0, terms * Columns).CopyTo(right);
        for (int row = 0; row < width; row++)
        {
            for (int term = 0; term < terms; term++) leading[(row * terms) + term] = u[(row * width) + term] * s[term];
        }
        MatrixProduct.TransposedMultiply(leading, q, left, terms, width, Rows, _workers);
        return _deflation.TakeOff(left, right, terms, measure);
    }
}
