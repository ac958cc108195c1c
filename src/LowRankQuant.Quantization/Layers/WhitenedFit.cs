using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// The low-rank term that leaves the least output error: U V = argmin |F (D - U V) C| with Hd = C C^T and, where given, F = diag(sqrt(sensitivity of
/// each output)). By Eckart and Young: F D C = P S Q^T, U = F^-1 P_r S_r, V = Q_r^T C^-1. Without F this is QERA-exact (with the Cholesky root in
/// place of the symmetric one, which changes nothing) and the fit that FLRQ's diagonal scaling approximates.
/// </summary>
internal static class WhitenedFit
{
    /// <summary>Fits a term of a given rank to a matrix.</summary>
    /// <param name="matrix">D, [rows, n].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="rank">r.</param>
    /// <param name="covariance">Hd and C.</param>
    /// <param name="rowSensitivity">[rows], or null for all alike.</param>
    /// <param name="workers">Threads.</param>
    public static LowRankFactors Fit(double[] matrix, int rows, int rank, DampedCovariance covariance, double[]? rowSensitivity, WorkerPool workers)
    {
        double[]? basis = null;
        return Fit(matrix, rows, rank, covariance, rowSensitivity, ref basis, workers);
    }

    /// <summary>As <see cref="Fit(double[], int, int, DampedCovariance, double[], WorkerPool)"/>, beginning where the fit of nearly the same matrix ended.</summary>
    /// <param name="matrix">D, [rows, n].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="rank">r.</param>
    /// <param name="covariance">Hd and C.</param>
    /// <param name="rowSensitivity">[rows], or null for all alike.</param>
    /// <param name="basis">Q_r of that fit, null where there was none; becomes this one's.</param>
    /// <param name="workers">Threads.</param>
    public static LowRankFactors Fit(double[] matrix, int rows, int rank, DampedCovariance covariance, double[]? rowSensitivity, ref double[]? basis, WorkerPool workers)
    {
        if (rank == 0) return LowRankFactors.None;
        int n = covariance.Size;
        double[] white = covariance.Whiten(matrix, rows, workers), weights = RowWeights(rowSensitivity, rows);
        ScaleRows(white, weights, n);
        (double[] p, double[] s, double[] q) = TruncatedSvd.Decompose(white, rows, n, rank, basis, workers);
        basis = (double[])q.Clone();
        covariance.Unwhiten(q, rank, workers);
        var u = new double[rows * rank];
        for (int term = 0; term < rank; term++)
        {
            for (int row = 0; row < rows; row++) u[(row * rank) + term] = p[(term * rows) + row] * s[term] / weights[row];
        }
        return new LowRankFactors(rank, u, q);
    }

    /// <summary>The U that is best for a given V: D Hd V^T (V Hd V^T)^-1. Weights of rows do not change it.</summary>
    public static double[] RefitLeft(double[] matrix, int rows, int rank, double[] v, DampedCovariance covariance, WorkerPool workers)
    {
        int n = covariance.Size;
        double[] image = new double[rank * n], normal = new double[rank * rank], u = new double[rows * rank];
        MatrixProduct.Multiply(v, covariance.Matrix, image, rank, n, n, workers);
        MatrixProduct.MultiplyTransposed(image, v, normal, rank, n, rank, workers);
        MatrixProduct.MultiplyTransposed(matrix, image, u, rows, n, rank, workers);
        for (int i = 0; i < rank; i++) normal[(i * rank) + i] *= 1 + 1e-12;
        Cholesky.Factor<double>(normal, rank);
        TriangularSystem.SolveRightTransposed<double>(normal, rank, u, rows);
        TriangularSystem.SolveRight<double>(normal, rank, u, rows);
        return u;
    }

    /// <summary>sqrt(sensitivity), with a floor so that no output is given up altogether; all 1 when there is none.</summary>
    public static double[] RowWeights(double[]? sensitivity, int rows)
    {
        var weights = new double[rows];
        double mean = sensitivity is null ? 0 : sensitivity.Average();
        for (int row = 0; row < rows; row++) weights[row] = mean > 0 ? Math.Sqrt(Math.Max(sensitivity![row], 1e-2 * mean)) : 1;
        return weights;
    }

    /// <summary>Multiplies row i by weights[i].</summary>
    public static void ScaleRows(double[] matrix, double[] weights, int columns)
    {
        for (int i = 0; i < matrix.Length; i++) matrix[i] *= weights[i / columns];
    }
}
