using System.Numerics;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>Orthonormal bases of the range of a matrix by random vectors and subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4).</summary>
internal static class RangeFinder
{
    private const double FarFromIdentity = 0.1;

    /// <summary>Q = orth(A S), then repeatedly Q = orth(A orth(A^T Q)); B = Q^T A. Vectors are rows.</summary>
    /// <param name="a">[rows, columns].</param>
    /// <param name="rows">Rows of A.</param>
    /// <param name="columns">Columns of A.</param>
    /// <param name="starts">S^T, [width, columns].</param>
    /// <param name="width">Vectors.</param>
    /// <param name="powerIterations">Repetitions.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="q">Receives [width, rows]: orthonormal rows.</param>
    /// <param name="b">Receives [width, columns].</param>
    public static void Find<T>(T[] a, int rows, int columns, T[] starts, int width, int powerIterations, WorkerPool workers, out T[] q, out T[] b)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        MatrixGuard.RequireShape<T>(starts, width, columns, nameof(starts));
        if (width > Math.Min(rows, columns))
            throw new ArgumentException($"{width} vectors of a matrix of {rows} x {columns}; at most {Math.Min(rows, columns)}.", nameof(width));
        q = new T[width * rows];
        b = new T[width * columns];
        MatrixProduct.MultiplyTransposed(starts, a, q, width, columns, rows, workers);
        Orthonormalise(q, width, rows, exactly: powerIterations == 0, workers);
        for (int i = 1; i <= powerIterations; i++)
        {
            MatrixProduct.Multiply(q, a, b, width, rows, columns, workers);
            Orthonormalise(b, width, columns, exactly: false, workers);
            MatrixProduct.MultiplyTransposed(b, a, q, width, columns, rows, workers);
            Orthonormalise(q, width, rows, exactly: i == powerIterations, workers);
        }
        MatrixProduct.Multiply(q, a, b, width, rows, columns, workers);
    }

    // By the Cholesky factor of the Gram matrix (Fukaya and others, CholeskyQR2, 2014), which is matrix products throughout: once is enough for a step on the way,
    // the result takes two. By reflections where the vectors are too nearly dependent for that.
    private static void Orthonormalise<T>(T[] vectors, int count, int length, bool exactly, WorkerPool workers)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int exponent = MatrixGuard.ScaleExponent<T>(vectors);
        MatrixGuard.ScaleByPowerOfTwo<T>(vectors, -exponent);
        T[] trial = [.. vectors];
        if (TryGram(trial, count, length, again: false, workers) && (!exactly || TryGram(trial, count, length, again: true, workers)))
        {
            trial.CopyTo(vectors, 0);
            return;
        }
        var tau = new T[count];
        Qr.Factor<T>(vectors, count, length, tau);
        var basis = new T[vectors.Length];
        Qr.FormBasis<T>(vectors, length, tau, basis);
        basis.CopyTo(vectors, 0);
    }

    // V becomes L^-1 V with V V^T = L L^T. A second time, when the Gram matrix should be near the identity, it must be.
    private static bool TryGram<T>(T[] vectors, int count, int length, bool again, WorkerPool workers)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var gram = new T[count * count];
        MatrixProduct.MultiplyTransposed(vectors, vectors, gram, count, length, count, workers);
        for (int i = 0; again && i < gram.Length; i++)
        {
            T wanted = i % (count + 1) == 0 ? T.One : T.Zero;
            if (!(T.Abs(gram[i] - wanted) < T.CreateChecked(FarFromIdentity))) return false;
        }
        if (!Cholesky.TryFactor<T>(gram, count, out _)) return false;
        TriangularSystem.SolveLeft<T>(gram, count, vectors, length);
        return true;
    }
}
