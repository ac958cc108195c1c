using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// The leading singular triplets of a large matrix by subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4) with products in single and everything between
/// them in double precision: bases are made orthonormal by the Cholesky factor of their Gram matrix (CholeskyQR2), the triplets are those of Q^T A by its Gram matrix.
/// </summary>
internal static class SubspaceSvd
{
    private const ulong Seed = 0x53564421;

    /// <summary>Computes the leading triplets.</summary>
    /// <param name="a">[rows, columns]; finite.</param>
    /// <param name="rows">Rows of A.</param>
    /// <param name="columns">Columns of A.</param>
    /// <param name="rank">Triplets.</param>
    /// <param name="oversampling">Vectors beyond the rank.</param>
    /// <param name="iterations">Subspace iterations.</param>
    /// <param name="known">Right vectors to begin from, [rank, columns]; null for random ones.</param>
    /// <param name="workers">Threads.</param>
    /// <returns>U [rank, rows], S [rank] descending, V [rank, columns]; vectors are rows.</returns>
    public static (double[] U, double[] S, double[] V) Decompose(double[] a, int rows, int columns, int rank, int oversampling, int iterations, double[]? known, WorkerPool workers)
    {
        int width = Math.Min(rank + oversampling, Math.Min(rows, columns));
        int exponent = MatrixGuard.ScaleExponent<double>(a);
        float[] matrix = GC.AllocateUninitializedArray<float>(a.Length);
        double shrink = Math.ScaleB(1, -exponent);
        MatrixProduct.ForRows(rows, workers, (first, count) =>
        {
            for (int i = first * columns; i < (first + count) * columns; i++) matrix[i] = (float)(a[i] * shrink);
        });
        float[] right = Starts(width, columns, known), left = new float[width * rows];
        MatrixProduct.MultiplyTransposed(right, matrix, left, width, columns, rows, workers);
        double[] q = Orthonormal(left, width, rows, workers);
        for (int i = 0; i < iterations; i++)
        {
            MatrixProduct.Multiply(left, matrix, right, width, rows, columns, workers);
            Orthonormal(right, width, columns, workers);
            MatrixProduct.MultiplyTransposed(right, matrix, left, width, columns, rows, workers);
            q = Orthonormal(left, width, rows, workers);
        }
        MatrixProduct.Multiply(left, matrix, right, width, rows, columns, workers);
        double[] b = [.. right], gram = new double[width * width], values = new double[width], vectors = new double[width * width];
        MatrixProduct.MultiplyTransposed(b, b, gram, width, columns, width, workers);
        SymmetricEigen.Decompose<double>(gram, width, values, vectors);
        // Eigenvectors are columns in rising order: the last ones are the leading ones.
        double[] turn = new double[rank * width], s = new double[rank], u = new double[rank * rows], v = new double[rank * columns];
        for (int term = 0; term < rank; term++)
        {
            for (int i = 0; i < width; i++) turn[(term * width) + i] = vectors[(i * width) + width - 1 - term];
        }
        MatrixProduct.Multiply(turn, q, u, rank, width, rows, workers);
        MatrixProduct.Multiply(turn, b, v, rank, width, columns, workers);
        for (int term = 0; term < rank; term++)
        {
            Span<double> vector = v.AsSpan(term * columns, columns);
            double length = VectorKernels.Length<double>(vector);
            if (length > 0) VectorKernels.Scale(vector, 1 / length);
            s[term] = Math.ScaleB(length, exponent);
        }
        return (u, s, v);
    }

    private static float[] Starts(int width, int columns, double[]? known)
    {
        var random = new SeededRandom(Seed);
        var starts = new float[width * columns];
        int given = known?.Length ?? 0;
        for (int i = 0; i < given; i++) starts[i] = (float)known![i];
        for (int i = given; i < starts.Length; i++) starts[i] = (float)random.NextGaussian();
        return starts;
    }

    // An orthonormal basis of what the rows span, in their place rounded to floats, and as it is.
    private static double[] Orthonormal(float[] vectors, int count, int length, WorkerPool workers)
    {
        double[] basis = [.. vectors];
        for (int row = 0; row < count; row++)
        {
            Span<double> vector = basis.AsSpan(row * length, length);
            double size = VectorKernels.Length<double>(vector);
            if (size > 0) VectorKernels.Scale(vector, 1 / size);
        }
        // The second time makes up for what the first leaves of nearly parallel vectors.
        if (!TryOrthonormalise(basis, count, length, workers) || !TryOrthonormalise(basis, count, length, workers)) basis = ByReflections(vectors, length, count);
        for (int i = 0; i < vectors.Length; i++) vectors[i] = (float)basis[i];
        return basis;
    }

    private static bool TryOrthonormalise(double[] basis, int count, int length, WorkerPool workers)
    {
        var gram = new double[count * count];
        MatrixProduct.MultiplyTransposed(basis, basis, gram, count, length, count, workers);
        if (!Cholesky.TryFactor<double>(gram, count, out _)) return false;
        TriangularSystem.SolveLeft<double>(gram, count, basis, length);
        return true;
    }

    // Vectors that depend on each other.
    private static double[] ByReflections(float[] vectors, int length, int count)
    {
        double[] source = [.. vectors], basis = new double[vectors.Length], tau = new double[count];
        MatrixGuard.ScaleByPowerOfTwo<double>(source, -MatrixGuard.ScaleExponent<double>(source));
        Qr.Factor<double>(source, count, length, tau);
        Qr.FormBasis<double>(source, length, tau, basis);
        return basis;
    }
}
