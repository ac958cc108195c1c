using LowRankQuant.Numerics.Kernels.Simd.Gemm;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Products in single precision of what is kept in double: twice as many numbers fit a register, and half as many bytes are read. For large matrices where seven digits will do.
/// Work is cut by shape alone.
/// </summary>
internal static unsafe class SingleProduct
{
    // Rows that are narrowed, multiplied and widened at a time: little memory beside the operands, and products large enough.
    private const int SlabRows = 2048;

    // Columns of a triangular factor that are multiplied with the rows below their first.
    private const int TriangleColumns = 512;

    /// <summary>C = A B.</summary>
    /// <param name="a">[rows, depth].</param>
    /// <param name="b">[depth, columns].</param>
    /// <param name="c">[rows, columns].</param>
    /// <param name="rows">Rows of A and C.</param>
    /// <param name="depth">Inner dimension.</param>
    /// <param name="columns">Columns of B and C.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="lowerTriangular">B is square and has zeros above its diagonal.</param>
    public static void Multiply(double[] a, float[] b, double[] c, int rows, int depth, int columns, WorkerPool workers, bool lowerTriangular = false)
    {
        MatrixGuard.RequireShape<double>(a, rows, depth, nameof(a));
        MatrixGuard.RequireShape<float>(b, depth, columns, nameof(b));
        MatrixGuard.RequireShape<double>(c, rows, columns, nameof(c));
        ManagedGemm gemm = MatrixProduct.GemmOf(workers);
        int slab = Math.Min(SlabRows, rows);
        float[] left = GC.AllocateUninitializedArray<float>(slab * depth), product = GC.AllocateUninitializedArray<float>(slab * columns);
        for (int first = 0; first < rows; first += slab)
        {
            int count = Math.Min(slab, rows - first);
            Narrow(a.AsSpan(first * depth, count * depth), left, depth, workers);
            fixed (float* pa = left, pb = b, pc = product)
            {
                if (!lowerTriangular) gemm.Multiply(false, false, count, columns, depth, pa, depth, pb, columns, pc, columns, accumulate: false);
                else
                {
                    for (int column = 0; column < columns; column += TriangleColumns)
                    {
                        int wide = Math.Min(TriangleColumns, columns - column);
                        gemm.Multiply(false, false, count, wide, depth - column, pa + column, depth, pb + ((long)column * columns) + column, columns, pc + column, columns, accumulate: false);
                    }
                }
            }
            Widen(product, c.AsSpan(first * columns, count * columns), columns, workers);
        }
    }

    /// <summary>Rounds to floats.</summary>
    /// <param name="source">Values.</param>
    /// <param name="target">At least as long.</param>
    /// <param name="columns">Values of a row.</param>
    /// <param name="workers">Threads.</param>
    public static void Narrow(ReadOnlySpan<double> source, float[] target, int columns, WorkerPool workers)
    {
        fixed (double* p = source)
        {
            double* from = p;
            Rows(source.Length, columns, workers, (start, count) =>
            {
                for (int i = start; i < start + count; i++) target[i] = (float)from[i];
            });
        }
    }

    private static void Widen(float[] source, Span<double> target, int columns, WorkerPool workers)
    {
        fixed (double* p = target)
        {
            double* to = p;
            Rows(target.Length, columns, workers, (start, count) =>
            {
                for (int i = start; i < start + count; i++) to[i] = source[i];
            });
        }
    }

    private static void Rows(int length, int columns, WorkerPool workers, Action<int, int> body)
    {
        if (columns > 0) MatrixProduct.ForRows(length / columns, workers, (first, count) => body(first * columns, count * columns));
    }
}
