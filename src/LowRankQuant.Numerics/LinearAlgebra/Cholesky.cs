using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Cholesky factorisation A = L L^T of a symmetric positive definite matrix, row-major [n, n], and what is made from it. Blocked, left-looking
/// (Golub and Van Loan, Matrix Computations, 4th edition, 4.2). For float and double; only the lower triangle of A is read. With threads the rows of a panel are shared out
/// in parts of a size of their own, so that their number never changes a result.
/// </summary>
/// <remarks>
/// A pivot counts as positive when it exceeds machine epsilon times its diagonal element of A: below that every digit of it is rounding error, and a
/// factor built on it would be noise. A caller that regularises keeps a copy of A, adds more to the diagonal and tries again.
/// </remarks>
public static class Cholesky
{
    private const int BlockSize = 64;

    // Rows of a panel that one thread updates at a time.
    private const int RowsPerPart = 256;

    /// <summary>Replaces A by its lower factor L (strict upper triangle zero), or throws.</summary>
    /// <param name="a">Symmetric, [n, n]; becomes L. Undefined after an exception.</param>
    /// <param name="n">Rows of A.</param>
    /// <exception cref="ArgumentException">The length is not n * n.</exception>
    /// <exception cref="NotPositiveDefiniteException">A pivot is not positive, or not a number.</exception>
    public static void Factor<T>(Span<T> a, int n)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (!TryFactor(a, n, out int failingPivot)) throw new NotPositiveDefiniteException(failingPivot, n);
    }

    /// <summary>Replaces A by its lower factor L (strict upper triangle zero), or reports the pivot that failed.</summary>
    /// <param name="a">Symmetric, [n, n]; becomes L. Undefined when the result is false.</param>
    /// <param name="n">Rows of A.</param>
    /// <param name="failingPivot">The zero-based row of the first pivot that is not positive (or not a number), or -1.</param>
    /// <returns>Whether A is positive definite in the precision of its type.</returns>
    /// <exception cref="ArgumentException">The length is not n * n.</exception>
    public static bool TryFactor<T>(Span<T> a, int n, out int failingPivot)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        MatrixGuard.RequireShape<T>(a, n, n, nameof(a));
        for (int start = 0; start < n; start += BlockSize)
        {
            int size = Math.Min(BlockSize, n - start), end = start + size;
            Span<T> panel = a[((start * n) + start)..];
            T[] diagonal = new T[size];
            for (int i = 0; i < size; i++) diagonal[i] = panel[(i * n) + i];
            BlockKernels.AddProductTransposed(panel, n, a[(start * n)..], n, a[(start * n)..], n, n - start, size, start, -T.One);
            int failed = FactorBlock(panel, n, diagonal);
            if (failed >= 0)
            {
                failingPivot = start + failed;
                return false;
            }
            if (end < n) TriangularSystem.SolveBlockRightTransposed(panel, n, size, a[((end * n) + start)..], n, n - end);
        }
        for (int i = 0; i < n; i++) a.Slice((i * n) + i + 1, n - i - 1).Clear();
        failingPivot = -1;
        return true;
    }

    /// <summary>As <see cref="TryFactor{T}(Span{T}, int, out int)"/>, on all threads.</summary>
    internal static bool TryFactor<T>(T[] a, int n, WorkerPool workers, out int failingPivot)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        MatrixGuard.RequireShape<T>(a, n, n, nameof(a));
        for (int from = 0; from < n; from += BlockSize)
        {
            int start = from, size = Math.Min(BlockSize, n - start), end = start + size;
            T[] diagonal = new T[size];
            for (int i = 0; i < size; i++) diagonal[i] = a[((start + i) * n) + start + i];
            ForRows(start, n, workers, (first, rows) => BlockKernels.AddProductTransposed<T>(
                a.AsSpan((first * n) + start), n, a.AsSpan(first * n), n, a.AsSpan(start * n), n, rows, size, start, -T.One));
            int failed = FactorBlock(a.AsSpan((start * n) + start), n, diagonal);
            if (failed >= 0)
            {
                failingPivot = start + failed;
                return false;
            }
            ForRows(end, n, workers, (first, rows) => TriangularSystem.SolveBlockRightTransposed<T>(a.AsSpan((start * n) + start), n, size, a.AsSpan((first * n) + start), n, rows));
        }
        for (int i = 0; i < n; i++) a.AsSpan((i * n) + i + 1, n - i - 1).Clear();
        failingPivot = -1;
        return true;
    }

    private static void ForRows(int start, int end, WorkerPool workers, Action<int, int> body) => workers.Run((end - start + RowsPerPart - 1) / RowsPerPart, part =>
    {
        int first = start + (part * RowsPerPart);
        body(first, Math.Min(RowsPerPart, end - first));
    });

    /// <summary>Solves A X = B with the factor of A.</summary>
    /// <param name="l">The factor, [n, n].</param>
    /// <param name="n">Rows of A.</param>
    /// <param name="b">[n, columns]; becomes X.</param>
    /// <param name="columns">Columns of B.</param>
    /// <exception cref="ArgumentException">A length does not fit, or L has a zero on its diagonal.</exception>
    public static void Solve<T>(ReadOnlySpan<T> l, int n, Span<T> b, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        TriangularSystem.SolveLeft(l, n, b, columns);
        TriangularSystem.SolveLeftTransposed(l, n, b, columns);
    }

    /// <summary>Replaces the factor L of A by the inverse of A (both triangles).</summary>
    /// <param name="l">The factor, [n, n]; becomes the inverse of A.</param>
    /// <param name="n">Rows of A.</param>
    /// <exception cref="ArgumentException">The length is not n * n, or L has a zero on its diagonal.</exception>
    public static void Invert<T>(Span<T> l, int n)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        TriangularSystem.Invert(l, n);
        // A^-1 = M^T M with M = L^-1. Row block I needs rows I and below of M only, so going down overwrites nothing that is still needed.
        T[] copy = new T[Math.Min(BlockSize, n) * n];
        for (int start = 0; start < n; start += BlockSize)
        {
            int size = Math.Min(BlockSize, n - start), end = start + size;
            Span<T> rows = l.Slice(start * n, size * n), old = copy.AsSpan(0, size * n);
            rows.CopyTo(old);
            rows.Clear();
            BlockKernels.AddProduct(rows, n, old[start..], 1, n, old, n, size, end, size, T.One);
            if (end < n) BlockKernels.AddProduct(rows, n, l[((end * n) + start)..], 1, n, l[(end * n)..], n, size, end, n - end, T.One);
        }
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < i; j++) l[(j * n) + i] = l[(i * n) + j];
        }
    }

    /// <summary>
    /// Replaces A by the upper triangular U with A^-1 = U^T U (strict lower triangle zero): what GPTQ walks through column by column. Needs no
    /// inverse: with J the reversal of rows and J A J = L L^T, U = J L^-1 J.
    /// </summary>
    /// <param name="a">Symmetric, [n, n]; becomes U. Undefined when the result is false.</param>
    /// <param name="n">Rows of A.</param>
    /// <param name="failingPivot">The zero-based row of A whose pivot is not positive, or -1; rows are eliminated from the last to the first.</param>
    /// <returns>Whether A is positive definite in the precision of its type.</returns>
    /// <exception cref="ArgumentException">The length is not n * n.</exception>
    public static bool TryUpperFactorOfInverse<T>(Span<T> a, int n, out int failingPivot)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        MatrixGuard.RequireShape<T>(a, n, n, nameof(a));
        Reverse(a, n);
        if (!TryFactor(a, n, out int reversed))
        {
            failingPivot = n - 1 - reversed;
            return false;
        }
        TriangularSystem.Invert(a, n);
        a.Reverse();
        failingPivot = -1;
        return true;
    }

    /// <summary>As <see cref="TryUpperFactorOfInverse{T}(Span{T}, int, out int)"/>, on all threads.</summary>
    internal static bool TryUpperFactorOfInverse<T>(T[] a, int n, WorkerPool workers, out int failingPivot)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        MatrixGuard.RequireShape<T>(a, n, n, nameof(a));
        Reverse<T>(a, n);
        if (!TryFactor(a, n, workers, out int reversed))
        {
            failingPivot = n - 1 - reversed;
            return false;
        }
        TriangularSystem.Invert(a, n, workers);
        a.AsSpan().Reverse();
        failingPivot = -1;
        return true;
    }

    // The factorisation reads the lower triangle; reversing both orders would move the upper one there.
    private static void Reverse<T>(Span<T> a, int n)
    {
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < i; j++) a[(j * n) + i] = a[(i * n) + j];
        }
        a.Reverse();
    }

    // Returns the failing pivot or -1.
    private static int FactorBlock<T>(Span<T> block, int stride, ReadOnlySpan<T> diagonal)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (int j = 0; j < diagonal.Length; j++)
        {
            ReadOnlySpan<T> rowJ = block.Slice(j * stride, j);
            T pivot = block[(j * stride) + j] - VectorKernels.Dot(rowJ, rowJ);
            // Written so that NaN fails as well.
            if (!(pivot > diagonal[j] * MachineLimits<T>.Epsilon) || !T.IsFinite(pivot)) return j;
            T root = T.Sqrt(pivot);
            block[(j * stride) + j] = root;
            for (int i = j + 1; i < diagonal.Length; i++)
                block[(i * stride) + j] = (block[(i * stride) + j] - VectorKernels.Dot(rowJ, block.Slice(i * stride, j))) / root;
        }
        return -1;
    }
}
