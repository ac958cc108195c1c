using System.Numerics;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>Orthonormal bases of the range of a matrix by random vectors and subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4).</summary>
internal static class RangeFinder
{
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
        Orthonormalise(q, width, rows);
        for (int i = 0; i < powerIterations; i++)
        {
            MatrixProduct.Multiply(q, a, b, width, rows, columns, workers);
            Orthonormalise(b, width, columns);
            MatrixProduct.MultiplyTransposed(b, a, q, width, columns, rows, workers);
            Orthonormalise(q, width, rows);
        }
        MatrixProduct.Multiply(q, a, b, width, rows, columns, workers);
    }

    private static void Orthonormalise<T>(T[] vectors, int count, int length)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int exponent = MatrixGuard.ScaleExponent<T>(vectors);
        MatrixGuard.ScaleByPowerOfTwo<T>(vectors, -exponent);
        var tau = new T[count];
        Qr.Factor<T>(vectors, count, length, tau);
        var basis = new T[vectors.Length];
        Qr.FormBasis<T>(vectors, length, tau, basis);
        basis.CopyTo(vectors, 0);
    }
}
