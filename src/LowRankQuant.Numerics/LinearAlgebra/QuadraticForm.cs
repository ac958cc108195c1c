using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>d^T H d for symmetric H: the output energy of a weight error d under the input covariance H.</summary>
public static class QuadraticForm
{
    private const int BlockColumns = 480;

    /// <summary>d^T H d for several vectors and one diagonal block of a larger matrix, on the calling thread.</summary>
    /// <param name="h">First element of the symmetric block; row i begins at i * stride.</param>
    /// <param name="stride">Elements between rows of H.</param>
    /// <param name="d">[count, size]: the vectors.</param>
    /// <param name="count">Vectors.</param>
    /// <param name="size">Rows of the block.</param>
    /// <param name="product">[count, size]: work memory.</param>
    /// <param name="energies">[count].</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void OfBlock(ReadOnlySpan<double> h, int stride, ReadOnlySpan<double> d, int count, int size, Span<double> product, Span<double> energies)
    {
        product[..(count * size)].Clear();
        BlockKernels.AddProduct(product, size, d, size, 1, h, stride, count, size, size, 1.0);
        for (int i = 0; i < count; i++) energies[i] = VectorKernels.Dot<double>(product.Slice(i * size, size), d.Slice(i * size, size));
    }

    /// <summary>Per row i of D: D_i H D_i^T. Their sum is tr(D H D^T) = |X D^T|^2 for H = X^T X.</summary>
    /// <param name="d">[rows, n].</param>
    /// <param name="h">Symmetric, [n, n].</param>
    /// <param name="rows">Rows of D.</param>
    /// <param name="n">Columns of D.</param>
    /// <param name="workers">Threads.</param>
    /// <returns>[rows].</returns>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static double[] Rows(double[] d, double[] h, int rows, int n, WorkerPool workers)
    {
        MatrixGuard.RequireShape<double>(d, rows, n, nameof(d));
        MatrixGuard.RequireShape<double>(h, n, n, nameof(h));
        var energies = new double[rows];
        MatrixProduct.ForRows(rows, workers, (first, count) =>
        {
            ReadOnlySpan<double> part = d.AsSpan(first * n, count * n);
            var product = new double[count * BlockColumns];
            for (int column = 0; column < n; column += BlockColumns)
            {
                // H is symmetric: what lies above the block counts twice, what lies below not at all.
                int wide = Math.Min(BlockColumns, n - column);
                product.AsSpan().Clear();
                BlockKernels.AddProduct(product, BlockColumns, part, n, 1, h.AsSpan(column), n, count, wide, column, 2.0);
                BlockKernels.AddProduct(product, BlockColumns, part[column..], n, 1, h.AsSpan((column * n) + column), n, count, wide, wide, 1.0);
                for (int i = 0; i < count; i++)
                    energies[first + i] += VectorKernels.Dot<double>(product.AsSpan(i * BlockColumns, wide), part.Slice((i * n) + column, wide));
            }
        });
        return energies;
    }
}
