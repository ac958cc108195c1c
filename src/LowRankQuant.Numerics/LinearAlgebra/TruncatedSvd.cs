using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// The leading singular triplets of a matrix: exactly, by the eigenvectors of the smaller Gram matrix, where that is small; by
/// <see cref="SubspaceSvd"/> with many iterations beyond.
/// </summary>
public static class TruncatedSvd
{
    /// <summary>Up to this smaller dimension the result is exact (to about the square root of epsilon times the largest singular value).</summary>
    public const int LargestExact = 1024;

    // Weight errors have flat spectra, on which few iterations lose energy.
    private const int PowerIterations = 6;

    // Where vectors of nearly the same matrix are known.
    private const int KnownIterations = 2;

    /// <summary>Computes the leading triplets.</summary>
    /// <param name="a">[rows, columns]; finite.</param>
    /// <param name="rows">Rows of A.</param>
    /// <param name="columns">Columns of A.</param>
    /// <param name="rank">Triplets, at most the smaller dimension.</param>
    /// <param name="workers">Threads.</param>
    /// <returns>U [rank, rows] (left vectors as rows), singular values [rank], V [rank, columns] (right vectors as rows).</returns>
    /// <exception cref="ArgumentException">The length does not fit, or an element is NaN or infinite.</exception>
    public static (double[] U, double[] S, double[] V) Decompose(double[] a, int rows, int columns, int rank, WorkerPool workers) => Decompose(a, rows, columns, rank, null, workers);

    /// <summary>As <see cref="Decompose(double[], int, int, int, WorkerPool)"/>, from the right vectors of a matrix that is nearly this one.</summary>
    /// <param name="a">[rows, columns]; finite.</param>
    /// <param name="rows">Rows of A.</param>
    /// <param name="columns">Columns of A.</param>
    /// <param name="rank">Triplets, at most the smaller dimension.</param>
    /// <param name="known">[rank, columns], or null.</param>
    /// <param name="workers">Threads.</param>
    internal static (double[] U, double[] S, double[] V) Decompose(double[] a, int rows, int columns, int rank, double[]? known, WorkerPool workers)
    {
        MatrixGuard.RequireShape<double>(a, rows, columns, nameof(a));
        MatrixGuard.RequireFinite<double>(a, Math.Max(1, columns), nameof(a));
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rank, Math.Min(rows, columns));
        double[] u = new double[rank * rows], s = new double[rank], v = new double[rank * columns];
        if (rank == 0) return (u, s, v);
        if (Math.Min(rows, columns) > LargestExact)
        {
            return SubspaceSvd.Decompose(a, rows, columns, rank, Math.Max(16, rank / 4), known is null ? PowerIterations : KnownIterations, known, workers);
        }
        bool tall = rows > columns;
        int n = Math.Min(rows, columns);
        var gram = new double[n * n];
        if (tall) MatrixProduct.TransposedMultiply(a, a, gram, n, rows, n, workers);
        else MatrixProduct.MultiplyTransposed(a, a, gram, n, columns, n, workers);
        double[] values = new double[n], vectors = new double[n * n];
        SymmetricEigen.Decompose<double>(gram, n, values, vectors);
        double[] near = tall ? v : u, far = tall ? u : v;
        for (int i = 0; i < rank; i++)
        {
            for (int j = 0; j < n; j++) near[(i * n) + j] = vectors[(j * n) + n - 1 - i];
        }
        if (tall) MatrixProduct.MultiplyTransposed(near, a, far, rank, columns, rows, workers);
        else MatrixProduct.Multiply(near, a, far, rank, rows, columns, workers);
        int length = far.Length / rank;
        for (int i = 0; i < rank; i++)
        {
            Span<double> vector = far.AsSpan(i * length, length);
            s[i] = VectorKernels.Length<double>(vector);
            if (s[i] > 0) VectorKernels.Scale(vector, 1 / s[i]);
        }
        return (u, s, v);
    }
}
