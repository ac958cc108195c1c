using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Systems with a lower triangular matrix L [n, n], row-major, of which only the lower triangle is read; right-hand sides are overwritten with the
/// solution. Blocked substitution (Golub and Van Loan, Matrix Computations, 4th edition, 3.1): most work is matrix products. For float and double.
/// </summary>
public static class TriangularSystem
{
    private const int BlockSize = 64;

    // Whole blocks of columns that one thread computes at a time.
    private const int ColumnsPerPart = 8 * BlockSize;

    /// <summary>Solves L X = B.</summary>
    /// <param name="l">Lower triangular, [n, n].</param>
    /// <param name="n">Rows of L.</param>
    /// <param name="b">[n, columns]; becomes X.</param>
    /// <param name="columns">Columns of B.</param>
    /// <exception cref="ArgumentException">A length does not fit, or L has a zero on its diagonal.</exception>
    public static void SolveLeft<T>(ReadOnlySpan<T> l, int n, Span<T> b, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(l, n, b, n, columns);
        if (columns == 1)
        {
            // A column lies in memory like a row, and rows are the fast case.
            SolveRightTransposed(l, n, b, 1);
            return;
        }
        for (int start = 0; start < n; start += BlockSize)
        {
            int end = Math.Min(start + BlockSize, n);
            Span<T> block = b[(start * columns)..];
            BlockKernels.AddProduct(block, columns, l[(start * n)..], n, 1, b, columns, end - start, columns, start, -T.One);
            for (int i = start; i < end; i++)
            {
                Span<T> row = b.Slice(i * columns, columns);
                for (int k = start; k < i; k++) VectorKernels.AddScaled(-l[(i * n) + k], b.Slice(k * columns, columns), row);
                Divide(row, l[(i * n) + i]);
            }
        }
    }

    /// <summary>Solves L^T X = B.</summary>
    /// <param name="l">Lower triangular, [n, n].</param>
    /// <param name="n">Rows of L.</param>
    /// <param name="b">[n, columns]; becomes X.</param>
    /// <param name="columns">Columns of B.</param>
    /// <exception cref="ArgumentException">A length does not fit, or L has a zero on its diagonal.</exception>
    public static void SolveLeftTransposed<T>(ReadOnlySpan<T> l, int n, Span<T> b, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(l, n, b, n, columns);
        if (columns == 1)
        {
            SolveRight(l, n, b, 1);
            return;
        }
        for (int start = LastBlock(n); start >= 0; start -= BlockSize)
        {
            int end = Math.Min(start + BlockSize, n);
            for (int i = end - 1; i >= start; i--)
            {
                Span<T> row = b.Slice(i * columns, columns);
                Divide(row, l[(i * n) + i]);
                for (int k = start; k < i; k++) VectorKernels.AddScaled(-l[(i * n) + k], row, b.Slice(k * columns, columns));
            }
            BlockKernels.AddProduct(b, columns, l[(start * n)..], 1, n, b[(start * columns)..], columns, start, columns, end - start, -T.One);
        }
    }

    /// <summary>Solves X L = B: each row of B is multiplied by the inverse of L from the right.</summary>
    /// <param name="l">Lower triangular, [n, n].</param>
    /// <param name="n">Rows of L.</param>
    /// <param name="b">[rows, n]; becomes X.</param>
    /// <param name="rows">Rows of B.</param>
    /// <exception cref="ArgumentException">A length does not fit, or L has a zero on its diagonal.</exception>
    public static void SolveRight<T>(ReadOnlySpan<T> l, int n, Span<T> b, int rows)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(l, n, b, rows, n);
        for (int start = LastBlock(n); start >= 0; start -= BlockSize)
        {
            int end = Math.Min(start + BlockSize, n);
            for (int r = 0; r < rows; r++)
            {
                Span<T> row = b.Slice(r * n, n);
                for (int j = end - 1; j >= start; j--)
                {
                    row[j] /= l[(j * n) + j];
                    VectorKernels.AddScaled(-row[j], l.Slice((j * n) + start, j - start), row[start..]);
                }
            }
            if (rows > 0) BlockKernels.AddProduct(b, n, b[start..], n, 1, l[(start * n)..], n, rows, start, end - start, -T.One);
        }
    }

    /// <summary>Solves X L^T = B.</summary>
    /// <param name="l">Lower triangular, [n, n].</param>
    /// <param name="n">Rows of L.</param>
    /// <param name="b">[rows, n]; becomes X.</param>
    /// <param name="rows">Rows of B.</param>
    /// <exception cref="ArgumentException">A length does not fit, or L has a zero on its diagonal.</exception>
    public static void SolveRightTransposed<T>(ReadOnlySpan<T> l, int n, Span<T> b, int rows)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(l, n, b, rows, n);
        if (rows == 0) return;
        for (int start = 0; start < n; start += BlockSize)
        {
            int size = Math.Min(BlockSize, n - start);
            BlockKernels.AddProductTransposed(b[start..], n, b, n, l[(start * n)..], n, rows, size, start, -T.One);
            SolveBlockRightTransposed(l[((start * n) + start)..], n, size, b[start..], n, rows);
        }
    }

    /// <summary>Replaces L by its inverse (lower triangular; the strict upper triangle becomes zero).</summary>
    /// <param name="l">Lower triangular, [n, n]; becomes its inverse.</param>
    /// <param name="n">Rows of L.</param>
    /// <exception cref="ArgumentException">A length does not fit, or L has a zero on its diagonal.</exception>
    public static void Invert<T>(Span<T> l, int n)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(l, n, l, n, n);
        T[] copy = new T[Math.Min(BlockSize, n) * n];
        for (int start = 0; start < n; start += BlockSize)
        {
            // Row block I of the inverse is L_II^-1 (E_I - L_I,<I M_<I), where E_I are rows of the identity.
            int size = Math.Min(BlockSize, n - start), end = start + size;
            Span<T> rows = l.Slice(start * n, size * n), old = copy.AsSpan(0, size * n);
            rows.CopyTo(old);
            rows.Clear();
            for (int i = 0; i < size; i++) rows[(i * n) + start + i] = T.One;
            for (int before = 0; before < start; before += BlockSize)
            {
                // Rows [before, before + BlockSize) of the inverse end at that column: skip the zeros beyond.
                BlockKernels.AddProduct(rows, n, old[before..], n, 1, l[(before * n)..], n, size, before + BlockSize, BlockSize, -T.One);
            }
            for (int i = 0; i < size; i++)
            {
                Span<T> row = rows.Slice(i * n, start + i + 1);
                for (int k = 0; k < i; k++) VectorKernels.AddScaled(-old[(i * n) + start + k], rows.Slice(k * n, start + k + 1), row);
                Divide(row, old[(i * n) + start + i]);
            }
        }
    }

    /// <summary>As <see cref="Invert{T}(Span{T}, int)"/>, the columns of every block of rows shared out among threads.</summary>
    internal static void Invert<T>(T[] l, int n, WorkerPool workers)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require<T>(l, n, l, n, n);
        T[] old = new T[Math.Min(BlockSize, n) * n];
        for (int from = 0; from < n; from += BlockSize)
        {
            int start = from, size = Math.Min(BlockSize, n - start), end = start + size;
            l.AsSpan(start * n, size * n).CopyTo(old);
            l.AsSpan(start * n, size * n).Clear();
            for (int i = 0; i < size; i++) l[((start + i) * n) + start + i] = T.One;
            workers.Run((end + ColumnsPerPart - 1) / ColumnsPerPart, part =>
            {
                int first = part * ColumnsPerPart, last = Math.Min(end, first + ColumnsPerPart);
                Span<T> rows = l.AsSpan((start * n) + first);
                for (int before = first; before < start; before += BlockSize)
                {
                    int columns = Math.Min(last, before + BlockSize) - first;
                    BlockKernels.AddProduct<T>(rows, n, old.AsSpan(before), n, 1, l.AsSpan((before * n) + first), n, size, columns, BlockSize, -T.One);
                }
                for (int i = 0; i < size; i++)
                {
                    int columns = Math.Min(last, start + i + 1) - first;
                    if (columns <= 0) continue;
                    Span<T> row = rows.Slice(i * n, columns);
                    for (int k = 0; k < i; k++)
                    {
                        int own = Math.Min(columns, start + k + 1 - first);
                        if (own > 0) VectorKernels.AddScaled(-old[(i * n) + start + k], rows.Slice(k * n, own), row[..own]);
                    }
                    Divide(row, old[(i * n) + start + i]);
                }
            });
        }
    }

    /// <summary>Solves X L^T = B for one diagonal block: L [size, size] and B [rows, size] are parts of larger matrices.</summary>
    internal static void SolveBlockRightTransposed<T>(ReadOnlySpan<T> l, int lStride, int size, Span<T> b, int bStride, int rows)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (int r = 0; r < rows; r++)
        {
            Span<T> row = b.Slice(r * bStride, size);
            for (int j = 0; j < size; j++)
                row[j] = (row[j] - VectorKernels.Dot(row[..j], l.Slice(j * lStride, j))) / l[(j * lStride) + j];
        }
    }

    private static int LastBlock(int n) => n == 0 ? -1 : (n - 1) / BlockSize * BlockSize;

    private static void Divide<T>(Span<T> row, T divisor)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        // True division, not a product with the reciprocal: a diagonal of 1e-310 has an infinite reciprocal.
        for (int i = 0; i < row.Length; i++) row[i] /= divisor;
    }

    private static void Require<T>(ReadOnlySpan<T> l, int n, ReadOnlySpan<T> b, int rows, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        MatrixGuard.RequireShape(l, n, n, nameof(l));
        MatrixGuard.RequireShape(b, rows, columns, nameof(b));
        for (int i = 0; i < n; i++)
        {
            if (l[(i * n) + i] != T.Zero) continue;
            throw new ArgumentException($"The triangular matrix is singular: its diagonal element {i} of {n} is zero.", nameof(l));
        }
    }
}
