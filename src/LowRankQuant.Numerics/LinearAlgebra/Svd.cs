using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Thin singular value decomposition A = U diag(s) V^T, for float and double; any shape and rank; one thread.
/// </summary>
/// <remarks>
/// One-sided Jacobi rotations (Golub and Van Loan, Matrix Computations, 4th edition, 8.6.3), which are accurate but slow from a cold start. Two steps
/// shorten the way without costing accuracy: a QR decomposition leaves a square problem, and the eigenvectors V0 of R^T R turn R into R V0, whose
/// columns are orthogonal up to rounding of the squares. Jacobi sweeps then repair what squaring lost (the small singular values).
/// Columns at the level of rounding error keep their length as singular value, and their left vectors are completed to an orthonormal set.
/// </remarks>
public static class Svd
{
    private const int MaxSweeps = 60;

    /// <summary>Decomposes A [rows, columns] with k = min(rows, columns), all row-major.</summary>
    /// <param name="a">[rows, columns]; finite.</param>
    /// <param name="rows">Rows of A.</param>
    /// <param name="columns">Columns of A.</param>
    /// <param name="u">[rows, k]; receives the left vectors as orthonormal columns, also where singular values are zero.</param>
    /// <param name="s">[k]; receives the singular values, descending, accurate to about epsilon times the largest.</param>
    /// <param name="vt">[k, columns]; receives the right vectors as orthonormal rows; each has its element of largest magnitude positive.</param>
    /// <exception cref="ArgumentException">A length does not fit, or an element is NaN or infinite.</exception>
    /// <exception cref="NoConvergenceException">The iteration did not settle.</exception>
    public static void Decompose<T>(ReadOnlySpan<T> a, int rows, int columns, Span<T> u, Span<T> s, Span<T> vt)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int k = Math.Min(rows, columns), length = Math.Max(rows, columns);
        MatrixGuard.RequireShape(a, rows, columns, nameof(a));
        MatrixGuard.RequireShape<T>(u, rows, k, nameof(u));
        MatrixGuard.RequireShape<T>(s, k, 1, nameof(s));
        MatrixGuard.RequireShape<T>(vt, k, columns, nameof(vt));
        MatrixGuard.RequireFinite(a, columns, nameof(a));
        if (k == 0) return;

        // The problem is solved for the tall one of A and A^T, held by columns: row j of tall [k, length] is its column j.
        bool wide = columns > rows;
        T[] tall = new T[a.Length];
        if (wide) a.CopyTo(tall);
        else MatrixGuard.Transpose(a, rows, columns, tall);
        int exponent = MatrixGuard.ScaleExponent(a);
        MatrixGuard.ScaleByPowerOfTwo<T>(tall, -exponent);

        T[]? basis = length > k ? ReduceToSquare(ref tall, k, length) : null;
        T[] right = new T[k * k];
        T[] left = Precondition(tall, k, right);
        Orthogonalise(left, right, k);
        SortAndNormalise(ref left, ref right, s, k);
        if (basis is not null) left = Expand(left, basis, k, length);

        // left [k, length] and right [k, k] hold vectors as rows; wide matrices have them in exchanged roles.
        T[] forU = wide ? right : left, forV = wide ? left : right;
        for (int j = 0; j < k; j++)
        {
            if (!MatrixGuard.PointsDown<T>(forV.AsSpan(j * columns, columns))) continue;
            VectorKernels.Scale(forU.AsSpan(j * rows, rows), -T.One);
            VectorKernels.Scale(forV.AsSpan(j * columns, columns), -T.One);
        }
        MatrixGuard.Transpose<T>(forU, k, rows, u);
        forV.CopyTo(vt);
        MatrixGuard.ScaleByPowerOfTwo(s, exponent);
    }

    // Replaces the columns of a tall matrix by those of its factor R [k, k] and returns the columns of Q as rows [k, length].
    private static T[] ReduceToSquare<T>(ref T[] tall, int k, int length)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T[] tau = new T[k], basis = new T[k * length], square = new T[k * k];
        Qr.Factor<T>(tall, k, length, tau);
        Qr.FormBasis<T>(tall, length, tau, basis);
        for (int j = 0; j < k; j++) tall.AsSpan(j * length, j + 1).CopyTo(square.AsSpan(j * k));
        tall = square;
        return basis;
    }

    // Writes the transposed eigenvectors of the Gram matrix to right and returns the columns of (matrix V0) as rows, longest first.
    private static T[] Precondition<T>(T[] columns, int k, T[] right)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T[] gram = new T[k * k], values = new T[k], vectors = new T[k * k];
        BlockKernels.AddProductTransposed<T>(gram, k, columns, k, columns, k, k, k, k, T.One);
        SymmetricEigen.Decompose<T>(gram, k, values, vectors);
        for (int j = 0; j < k; j++)
        {
            for (int i = 0; i < k; i++) right[(j * k) + i] = vectors[(i * k) + (k - 1 - j)];
        }
        gram.AsSpan().Clear();
        BlockKernels.AddProduct<T>(gram, k, right, k, 1, columns, k, k, k, k, T.One);
        return gram;
    }

    // Rotates pairs of rows of left until all that matter are orthogonal; right follows.
    private static void Orthogonalise<T>(T[] left, T[] right, int k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T tolerance = MachineLimits<T>.Epsilon * T.Sqrt(T.CreateChecked(k));
        T two = T.CreateChecked(2);
        for (int sweep = 0; sweep < MaxSweeps; sweep++)
        {
            T noise = NoiseLevel<T>(left, k);
            bool rotated = false;
            for (int i = 0; i < k - 1; i++)
            {
                Span<T> x = left.AsSpan(i * k, k);
                for (int j = i + 1; j < k; j++)
                {
                    Span<T> y = left.AsSpan(j * k, k);
                    (T xx, T yy, T xy) = VectorKernels.Dots<T>(x, y);
                    if (T.Min(xx, yy) <= noise * noise || T.Abs(xy) <= tolerance * T.Sqrt(xx) * T.Sqrt(yy)) continue;
                    rotated = true;
                    T zeta = (yy - xx) / (two * xy);
                    T tangent = T.CopySign(T.One, zeta) / (T.Abs(zeta) + T.Hypot(T.One, zeta));
                    T cosine = T.One / T.Sqrt(T.One + (tangent * tangent)), sine = cosine * tangent;
                    VectorKernels.Rotate(x, y, cosine, -sine);
                    VectorKernels.Rotate(right.AsSpan(i * k, k), right.AsSpan(j * k, k), cosine, -sine);
                }
            }
            if (!rotated) return;
        }
        throw new NoConvergenceException("singular value decomposition", k, MaxSweeps);
    }

    // Columns up to this length are rounding error of the steps before.
    private static T NoiseLevel<T>(ReadOnlySpan<T> left, int k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T longest = T.Zero;
        for (int j = 0; j < k; j++) longest = T.Max(longest, VectorKernels.Length(left.Slice(j * k, k)));
        return longest * MachineLimits<T>.Epsilon * T.CreateChecked(4) * T.Sqrt(T.CreateChecked(k));
    }

    private static void SortAndNormalise<T>(ref T[] left, ref T[] right, Span<T> s, int k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        // Twice the level that rotations used, so that rounding at the border cannot leave a column out of both.
        T noise = NoiseLevel<T>(left, k) * T.CreateChecked(2);
        T[] keys = new T[k];
        int[] order = new int[k];
        for (int j = 0; j < k; j++)
        {
            // Negated, because arrays sort ascending.
            keys[j] = -VectorKernels.Length<T>(left.AsSpan(j * k, k));
            order[j] = j;
        }
        Array.Sort(keys, order);
        T[] sortedLeft = new T[k * k], sortedRight = new T[k * k], covered = new T[k];
        for (int j = 0; j < k; j++)
        {
            s[j] = -keys[j] + T.Zero;
            left.AsSpan(order[j] * k, k).CopyTo(sortedLeft.AsSpan(j * k));
            right.AsSpan(order[j] * k, k).CopyTo(sortedRight.AsSpan(j * k));
            Span<T> vector = sortedLeft.AsSpan(j * k, k);
            if (s[j] > noise) Divide(vector, s[j]);
            else Complete<T>(sortedLeft.AsSpan(0, j * k), vector, covered, k);
            for (int i = 0; i < k; i++) covered[i] += vector[i] * vector[i];
        }
        left = sortedLeft;
        right = sortedRight;
    }

    // Makes vector a unit vector orthogonal to the rows before it, near its own direction if that is possible.
    private static void Complete<T>(ReadOnlySpan<T> before, Span<T> vector, ReadOnlySpan<T> covered, int k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T length = VectorKernels.Length<T>(vector);
        if (length > T.Zero)
        {
            Divide(vector, length);
            if (RemoveComponents(before, vector, k)) return;
        }
        // The coordinate that the vectors before cover least keeps at least 1 / k of its square.
        int least = 0;
        for (int i = 1; i < k; i++)
        {
            if (covered[i] < covered[least]) least = i;
        }
        vector.Clear();
        vector[least] = T.One;
        RemoveComponents(before, vector, k);
        RemoveComponents(before, vector, k);
    }

    // Two passes of Gram-Schmidt, then length one; false when hardly anything was left.
    private static bool RemoveComponents<T>(ReadOnlySpan<T> before, Span<T> vector, int k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T length = T.Zero;
        bool clear = true;
        for (int pass = 0; pass < 2; pass++)
        {
            for (int at = 0; at < before.Length; at += k)
            {
                ReadOnlySpan<T> other = before.Slice(at, k);
                VectorKernels.AddScaled(-VectorKernels.Dot(other, vector), other, vector);
            }
            length = VectorKernels.Length<T>(vector);
            clear = length > T.CreateChecked(0.5);
            if (length == T.Zero) return false;
            if (pass == 0) Divide(vector, length);
        }
        Divide(vector, length);
        return clear;
    }

    // Left vectors of the square problem, as rows, times the basis of the tall one.
    private static T[] Expand<T>(T[] left, T[] basis, int k, int length)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T[] expanded = new T[k * length];
        BlockKernels.AddProduct<T>(expanded, length, left, k, 1, basis, length, k, length, k, T.One);
        return expanded;
    }

    private static void Divide<T>(Span<T> vector, T divisor)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (int i = 0; i < vector.Length; i++) vector[i] /= divisor;
    }
}
