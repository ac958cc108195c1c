using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Thin QR decomposition A = Q R by Householder reflections (Golub and Van Loan, Matrix Computations, 4th edition, 5.2). For float and double; any
/// shape and rank; one thread. The diagonal of R is never negative, which makes the result unique for matrices of full rank.
/// </summary>
public static class Qr
{
    /// <summary>Decomposes A [rows, columns] = Q [rows, k] R [k, columns], k = min(rows, columns), all row-major.</summary>
    /// <param name="a">[rows, columns]; finite.</param>
    /// <param name="rows">Rows of A.</param>
    /// <param name="columns">Columns of A.</param>
    /// <param name="q">[rows, k]; receives orthonormal columns, also where A lacks rank.</param>
    /// <param name="r">[k, columns]; receives the upper triangular (trapezoidal when rows are fewer) factor.</param>
    /// <exception cref="ArgumentException">A length does not fit, or an element is NaN or infinite.</exception>
    public static void Decompose<T>(ReadOnlySpan<T> a, int rows, int columns, Span<T> q, Span<T> r)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int k = Math.Min(rows, columns);
        MatrixGuard.RequireShape(a, rows, columns, nameof(a));
        MatrixGuard.RequireShape<T>(q, rows, k, nameof(q));
        MatrixGuard.RequireShape<T>(r, k, columns, nameof(r));
        MatrixGuard.RequireFinite(a, columns, nameof(a));
        if (k == 0) return;

        // Reflections run along columns, so the work happens on the transpose, where a column is contiguous.
        T[] work = new T[a.Length], tau = new T[k];
        MatrixGuard.Transpose(a, rows, columns, work);
        int exponent = MatrixGuard.ScaleExponent(a);
        MatrixGuard.ScaleByPowerOfTwo<T>(work, -exponent);
        Factor(work, columns, rows, tau);
        T[] basis = new T[k * rows];
        FormBasis(work, rows, tau, basis);

        for (int i = 0; i < k; i++)
        {
            bool flip = work[(i * rows) + i] < T.Zero;
            for (int j = 0; j < columns; j++)
            {
                T value = j < i ? T.Zero : work[(j * rows) + i];
                r[(i * columns) + j] = flip ? -value : value;
            }
            if (flip) VectorKernels.Scale(basis.AsSpan(i * rows, rows), -T.One);
        }
        MatrixGuard.ScaleByPowerOfTwo(r, exponent);
        MatrixGuard.Transpose<T>(basis, k, rows, q);
    }

    /// <summary>
    /// Factors a matrix given by its columns: row j of <paramref name="work"/> [columns, length] is column j. Afterwards row j holds column j of R up
    /// to element min(j, k-1); row j &lt; k continues with the tail of reflector j, whose factor is tau[j]. Elements should be of order one.
    /// </summary>
    internal static void Factor<T>(Span<T> work, int columns, int length, Span<T> tau)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int k = Math.Min(columns, length);
        for (int j = 0; j < k; j++)
        {
            Span<T> column = work.Slice((j * length) + j, length - j);
            tau[j] = VectorKernels.MakeReflector(ref column[0], column[1..]);
            for (int other = j + 1; other < columns; other++)
                Reflect(column[1..], tau[j], work.Slice((other * length) + j, length - j));
        }
    }

    /// <summary>Writes the k = tau.Length orthonormal columns of Q as rows of <paramref name="basis"/> [k, length].</summary>
    internal static void FormBasis<T>(ReadOnlySpan<T> work, int length, ReadOnlySpan<T> tau, Span<T> basis)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int k = tau.Length;
        basis.Clear();
        for (int j = 0; j < k; j++) basis[(j * length) + j] = T.One;
        for (int j = k - 1; j >= 0; j--)
        {
            // Reflector j leaves the first j unit vectors alone.
            ReadOnlySpan<T> tail = work.Slice((j * length) + j + 1, length - j - 1);
            for (int c = j; c < k; c++) Reflect(tail, tau[j], basis.Slice((c * length) + j, length - j));
        }
    }

    // y -= tau v (v . y), v = (1, tail).
    private static void Reflect<T>(ReadOnlySpan<T> tail, T tau, Span<T> y)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (tau == T.Zero) return;
        T projection = tau * (y[0] + VectorKernels.Dot(tail, y[1..]));
        y[0] -= projection;
        VectorKernels.AddScaled(-projection, tail, y[1..]);
    }
}
