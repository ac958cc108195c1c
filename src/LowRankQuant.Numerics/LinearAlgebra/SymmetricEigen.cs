using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Eigendecomposition A = V diag(values) V^T of a real symmetric matrix: Householder tridiagonalisation, then implicit symmetric QR steps with
/// Wilkinson's shift (Golub and Van Loan, Matrix Computations, 4th edition, 8.3). For float and double; one thread.
/// </summary>
public static class SymmetricEigen
{
    private const int StepsPerValue = 60;

    /// <summary>Computes all eigenvalues, ascending, and orthonormal eigenvectors.</summary>
    /// <param name="a">Symmetric, [n, n], row-major; only the lower triangle is read; finite.</param>
    /// <param name="n">Rows of A.</param>
    /// <param name="values">[n]; receives the eigenvalues in ascending order, accurate to about epsilon times the largest magnitude.</param>
    /// <param name="vectors">[n, n], row-major; column j receives the vector of values[j]; its element of largest magnitude is positive.</param>
    /// <exception cref="ArgumentException">A length does not fit, or an element of the lower triangle is NaN or infinite.</exception>
    /// <exception cref="NoConvergenceException">The iteration did not settle.</exception>
    public static void Decompose<T>(ReadOnlySpan<T> a, int n, Span<T> values, Span<T> vectors)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        MatrixGuard.RequireShape(a, n, n, nameof(a));
        MatrixGuard.RequireShape<T>(values, n, 1, nameof(values));
        MatrixGuard.RequireShape<T>(vectors, n, n, nameof(vectors));
        if (n == 0) return;
        T[] work = new T[a.Length];
        for (int i = 0; i < n; i++) a.Slice(i * n, i + 1).CopyTo(work.AsSpan(i * n));
        MatrixGuard.RequireFinite<T>(work, n, nameof(a));
        int exponent = MatrixGuard.ScaleExponent<T>(work);
        MatrixGuard.ScaleByPowerOfTwo<T>(work, -exponent);

        T[] diagonal = new T[n], coupling = new T[n], rows = new T[a.Length];
        Tridiagonalise(work, n, diagonal, coupling, rows);
        Diagonalise(diagonal, coupling, rows, n);

        int[] order = new int[n];
        for (int i = 0; i < n; i++) order[i] = i;
        Array.Sort(diagonal, order);
        diagonal.CopyTo(values);
        MatrixGuard.ScaleByPowerOfTwo(values, exponent);
        for (int j = 0; j < n; j++)
        {
            Span<T> source = rows.AsSpan(order[j] * n, n), target = work.AsSpan(j * n, n);
            source.CopyTo(target);
            if (MatrixGuard.PointsDown<T>(target)) VectorKernels.Scale(target, -T.One);
        }
        MatrixGuard.Transpose<T>(work, n, n, vectors);
    }

    /// <summary>
    /// Reduces the lower triangle of <paramref name="a"/> to T = Q^T A Q from the last row upwards, so that every vector is a contiguous part of a
    /// row. coupling[i] joins i and i + 1; <paramref name="transposedQ"/> [n, n] receives Q^T.
    /// </summary>
    private static void Tridiagonalise<T>(Span<T> a, int n, Span<T> diagonal, Span<T> coupling, Span<T> transposedQ)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T[] taus = new T[n], product = new T[n];
        for (int i = n - 1; i > 0; i--)
        {
            diagonal[i] = a[(i * n) + i];
            Span<T> v = a.Slice(i * n, i), p = product.AsSpan(0, i);
            T tau = VectorKernels.MakeReflector(ref v[i - 1], v[..(i - 1)]);
            coupling[i - 1] = v[i - 1];
            taus[i] = tau;
            if (tau == T.Zero) continue;
            v[i - 1] = T.One;

            // p = A v on the leading i x i part: row j serves as row and as column at once.
            p.Clear();
            for (int j = 0; j < i; j++)
                p[j] += VectorKernels.DotAndAddScaled(a.Slice(j * n, j), v, v[j], p) + (a[(j * n) + j] * v[j]);

            // A becomes A - v w^T - w v^T with w = tau p - (tau^2 / 2) (p . v) v.
            VectorKernels.Scale(p, tau);
            VectorKernels.AddScaled(-tau * VectorKernels.Dot<T>(p, v) / T.CreateChecked(2), v, p);
            for (int j = 0; j < i; j++) VectorKernels.AddScaled<T>(-v[j], p[..(j + 1)], -p[j], v, a.Slice(j * n, j + 1));
        }
        diagonal[0] = a[0];
        coupling[n - 1] = T.Zero;

        // Q^T = H_2 H_3 ... H_(n-1), built from the left; before step i only the leading (i-1) x (i-1) part differs from the identity.
        transposedQ.Clear();
        for (int i = 0; i < n; i++) transposedQ[(i * n) + i] = T.One;
        for (int i = 2; i < n; i++)
        {
            if (taus[i] == T.Zero) continue;
            ReadOnlySpan<T> v = a.Slice(i * n, i);
            for (int row = 0; row < i; row++)
            {
                Span<T> target = transposedQ.Slice(row * n, i);
                VectorKernels.AddScaled(-taus[i] * VectorKernels.Dot<T>(target, v), v, target);
            }
        }
    }

    /// <summary>Diagonalises the tridiagonal matrix; its rotations also turn <paramref name="rows"/>, whose row j becomes vector j.</summary>
    private static void Diagonalise<T>(Span<T> diagonal, Span<T> coupling, Span<T> rows, int n)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T epsilon = MachineLimits<T>.Epsilon;
        int last = n - 1, steps = 0;
        while (last > 0)
        {
            // Find the unreduced block [first, last] at the end; couplings below rounding error are dropped (the matrix is scaled to about one).
            int first = last;
            while (first > 0)
            {
                T neighbours = T.Abs(diagonal[first - 1]) + T.Abs(diagonal[first]);
                if (T.Abs(coupling[first - 1]) <= epsilon * (neighbours + epsilon)) break;
                first--;
            }
            if (first > 0) coupling[first - 1] = T.Zero;
            if (first == last)
            {
                last--;
                continue;
            }
            if (++steps > StepsPerValue * n) throw new NoConvergenceException("symmetric eigendecomposition", n, steps);
            Step(diagonal, coupling, rows, n, first, last);
        }
    }

    // One implicit QR step on the block [first, last]: a rotation starts the bulge, the others chase it down.
    private static void Step<T>(Span<T> diagonal, Span<T> coupling, Span<T> rows, int n, int first, int last)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T half = (diagonal[last - 1] - diagonal[last]) / T.CreateChecked(2), corner = coupling[last - 1];
        // Wilkinson's shift, the eigenvalue of the last 2 x 2 block nearer to its last element; the quotient is ordered so as not to underflow.
        T shift = diagonal[last] - (corner * (corner / (half + T.CopySign(T.Hypot(half, corner), half))));
        T x = diagonal[first] - shift, z = coupling[first];
        for (int k = first; k < last; k++)
        {
            T length = T.Hypot(x, z);
            T c = length == T.Zero ? T.One : x / length, s = length == T.Zero ? T.Zero : z / length;
            if (k > first) coupling[k - 1] = length;
            T a = diagonal[k], b = coupling[k], g = diagonal[k + 1];
            T sum = ((g - a) * s) + ((c + c) * b), move = s * sum;
            diagonal[k] = a + move;
            diagonal[k + 1] = g - move;
            coupling[k] = (c * sum) - b;
            if (k + 1 < last)
            {
                x = coupling[k];
                z = s * coupling[k + 1];
                coupling[k + 1] *= c;
            }
            VectorKernels.Rotate(rows.Slice(k * n, n), rows.Slice((k + 1) * n, n), c, s);
        }
    }
}
