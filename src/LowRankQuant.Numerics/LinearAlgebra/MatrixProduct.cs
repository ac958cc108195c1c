using System.Numerics;

using LowRankQuant.Numerics.Kernels.Simd;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Products of whole row-major matrices on all threads, for float and double. Work is cut by shape alone, so the number of threads never changes a
/// result. Floats go through the blocked kernels of the engine, doubles through those of the decompositions.
/// </summary>
public static class MatrixProduct
{
    // Every chunk packs its operands anew, so chunks of large matrices are larger.
    private const int FewRows = 16;
    private const int ManyRows = 64;
    private const int LargeMatrix = 1024;

    /// <summary>C = A B, or C += A B.</summary>
    /// <param name="a">[rows, depth].</param>
    /// <param name="b">[depth, columns].</param>
    /// <param name="c">[rows, columns].</param>
    /// <param name="rows">Rows of A and C.</param>
    /// <param name="depth">Inner dimension.</param>
    /// <param name="columns">Columns of B and C.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="accumulate">Add to C instead of overwriting it.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void Multiply<T>(T[] a, T[] b, T[] c, int rows, int depth, int columns, WorkerPool workers, bool accumulate = false)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Check(a, rows, depth, b, depth, columns, c, rows, columns);
        if (TryFloat(false, false, a, depth, b, columns, c, rows, columns, depth, accumulate, workers)) return;
        ForRows(rows, workers, (first, count) =>
        {
            Span<T> part = c.AsSpan(first * columns, count * columns);
            if (!accumulate) part.Clear();
            BlockKernels.AddProduct(part, columns, a.AsSpan(first * depth), depth, 1, b, columns, count, columns, depth, T.One);
        });
    }

    /// <summary>C = A B^T, or C += A B^T.</summary>
    /// <param name="a">[rows, depth].</param>
    /// <param name="b">[columns, depth].</param>
    /// <param name="c">[rows, columns].</param>
    /// <param name="rows">Rows of A and C.</param>
    /// <param name="depth">Inner dimension.</param>
    /// <param name="columns">Rows of B, columns of C.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="accumulate">Add to C instead of overwriting it.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void MultiplyTransposed<T>(T[] a, T[] b, T[] c, int rows, int depth, int columns, WorkerPool workers, bool accumulate = false)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Check(a, rows, depth, b, columns, depth, c, rows, columns);
        if (TryFloat(false, true, a, depth, b, depth, c, rows, columns, depth, accumulate, workers)) return;
        ForRows(rows, workers, (first, count) =>
        {
            Span<T> part = c.AsSpan(first * columns, count * columns);
            if (!accumulate) part.Clear();
            BlockKernels.AddProductTransposed(part, columns, a.AsSpan(first * depth), depth, b, depth, count, columns, depth, T.One);
        });
    }

    /// <summary>C = A^T B, or C += A^T B.</summary>
    /// <param name="a">[depth, rows].</param>
    /// <param name="b">[depth, columns].</param>
    /// <param name="c">[rows, columns].</param>
    /// <param name="rows">Columns of A, rows of C.</param>
    /// <param name="depth">Inner dimension.</param>
    /// <param name="columns">Columns of B and C.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="accumulate">Add to C instead of overwriting it.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void TransposedMultiply<T>(T[] a, T[] b, T[] c, int rows, int depth, int columns, WorkerPool workers, bool accumulate = false)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Check(a, depth, rows, b, depth, columns, c, rows, columns);
        if (TryFloat(true, false, a, rows, b, columns, c, rows, columns, depth, accumulate, workers)) return;
        ForRows(rows, workers, (first, count) =>
        {
            Span<T> part = c.AsSpan(first * columns, count * columns);
            if (!accumulate) part.Clear();
            BlockKernels.AddProduct(part, columns, a.AsSpan(first), 1, rows, b, columns, count, columns, depth, T.One);
        });
    }

    /// <summary>Runs <paramref name="body"/>(first row, rows) over slices of rows whose number depends on the shape alone.</summary>
    internal static void ForRows(int rows, WorkerPool workers, Action<int, int> body)
    {
        int chunk = rows >= LargeMatrix ? ManyRows : FewRows;
        workers.Run((rows + chunk - 1) / chunk, number =>
        {
            int first = number * chunk;
            body(first, Math.Min(chunk, rows - first));
        });
    }

    private static unsafe bool TryFloat<T>(
        bool transposeA, bool transposeB, T[] a, int lda, T[] b, int ldb, T[] c, int rows, int columns, int depth, bool accumulate, WorkerPool workers)
        where T : unmanaged
    {
        if (typeof(T) != typeof(float)) return false;
        fixed (T* pa = a, pb = b, pc = c)
        {
            new ManagedGemm(workers).Multiply(
                transposeA, transposeB, rows, columns, depth, (float*)pa, lda, (float*)pb, ldb, (float*)pc, columns, accumulate);
        }
        return true;
    }

    private static void Check<T>(T[] a, int aRows, int aColumns, T[] b, int bRows, int bColumns, T[] c, int cRows, int cColumns)
    {
        MatrixGuard.RequireShape<T>(a, aRows, aColumns, nameof(a));
        MatrixGuard.RequireShape<T>(b, bRows, bColumns, nameof(b));
        MatrixGuard.RequireShape<T>(c, cRows, cColumns, nameof(c));
    }
}
