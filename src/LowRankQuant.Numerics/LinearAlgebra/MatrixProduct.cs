using System.Numerics;
using System.Runtime.CompilerServices;

using LowRankQuant.Numerics.Kernels.Simd.Gemm;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Products of whole row-major matrices on all threads, for float and double. Work is cut by shape alone, so the number of threads never changes a
/// result. Floats go through the blocked kernels of the engine, doubles through those of the decompositions.
/// </summary>
public static class MatrixProduct
{
    // Every tile packs its operands anew: long ones are worth it. A few rows are cut by columns, for all threads to have some.
    private const int LargeMatrix = 2048;
    private const int RowsPerTile = 64;
    private const int ColumnsPerTile = 480;

    private static readonly ManagedGemm Serial = new(new WorkerPool(1));

    // What a product packs into is kept for the next.
    private static readonly ConditionalWeakTable<WorkerPool, ManagedGemm> Gemms = [];

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
        if (depth == 0 && !accumulate) Array.Clear(c);
        ForTiles(depth == 0 ? 0 : rows, columns, workers, (row, count, column, wide) =>
        {
            Span<T> part = c.AsSpan((row * columns) + column);
            if (!accumulate) Clear(part, columns, count, wide);
            BlockKernels.AddProduct(part, columns, a.AsSpan(row * depth), depth, 1, b.AsSpan(column), columns, count, wide, depth, T.One);
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
        if (depth == 0 && !accumulate) Array.Clear(c);
        ForTiles(depth == 0 ? 0 : rows, columns, workers, (row, count, column, wide) =>
        {
            Span<T> part = c.AsSpan((row * columns) + column);
            if (!accumulate) Clear(part, columns, count, wide);
            BlockKernels.AddProductTransposed(part, columns, a.AsSpan(row * depth), depth, b.AsSpan(column * depth), depth, count, wide, depth, T.One);
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
        if (depth == 0 && !accumulate) Array.Clear(c);
        ForTiles(depth == 0 ? 0 : rows, columns, workers, (row, count, column, wide) =>
        {
            Span<T> part = c.AsSpan((row * columns) + column);
            if (!accumulate) Clear(part, columns, count, wide);
            BlockKernels.AddProduct(part, columns, a.AsSpan(row), 1, rows, b.AsSpan(column), columns, count, wide, depth, T.One);
        });
    }

    /// <summary>The engine's products on some threads.</summary>
    internal static ManagedGemm GemmOf(WorkerPool workers) => Gemms.GetValue(workers, static pool => new ManagedGemm(pool));

    /// <summary>C = A B on the calling thread, rows of each as far apart as is said.</summary>
    internal static unsafe void MultiplySerial<T>(
        ReadOnlySpan<T> a, int aStride, ReadOnlySpan<T> b, int bStride, Span<T> c, int cStride, int rows, int depth, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (typeof(T) == typeof(float))
        {
            fixed (T* pa = a, pb = b, pc = c) Serial.MultiplySerial(false, false, rows, columns, depth, (float*)pa, aStride, (float*)pb, bStride, (float*)pc, cStride, accumulate: false);
            return;
        }
        Clear(c, cStride, rows, columns);
        BlockKernels.AddProduct(c, cStride, a, aStride, 1, b, bStride, rows, columns, depth, T.One);
    }

    /// <summary>Runs <paramref name="body"/>(first row, rows) over slices of rows whose number depends on the shape alone.</summary>
    internal static void ForRows(int rows, WorkerPool workers, Action<int, int> body)
    {
        int part = rows >= LargeMatrix ? 2 * RowsPerTile : rows >= LargeMatrix / 2 ? RowsPerTile : RowsPerTile / 4;
        workers.Run((rows + part - 1) / part, number =>
        {
            int first = number * part;
            body(first, Math.Min(part, rows - first));
        });
    }

    // Runs body(first row, rows, first column, columns) over tiles that depend on the shape alone.
    private static void ForTiles(int rows, int columns, WorkerPool workers, Action<int, int, int, int> body)
    {
        int high = rows >= LargeMatrix ? 2 * RowsPerTile : RowsPerTile, wide = rows >= LargeMatrix ? columns : ColumnsPerTile;
        int down = (rows + high - 1) / high, across = wide == 0 ? 0 : (columns + wide - 1) / wide;
        workers.Run(down * across, number =>
        {
            int row = number / across * high, column = number % across * wide;
            body(row, Math.Min(high, rows - row), column, Math.Min(wide, columns - column));
        });
    }

    private static void Clear<T>(Span<T> part, int stride, int rows, int columns)
    {
        for (int row = 0; row < rows; row++) part.Slice(row * stride, columns).Clear();
    }

    private static unsafe bool TryFloat<T>(
        bool transposeA, bool transposeB, T[] a, int lda, T[] b, int ldb, T[] c, int rows, int columns, int depth, bool accumulate, WorkerPool workers)
        where T : unmanaged
    {
        if (typeof(T) != typeof(float)) return false;
        fixed (T* pa = a, pb = b, pc = c)
        {
            GemmOf(workers).Multiply(
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
