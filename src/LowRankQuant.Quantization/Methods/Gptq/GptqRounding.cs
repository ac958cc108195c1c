using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Gptq;

/// <summary>
/// Error-compensated rounding (GPTQ, Frantar et al., ICLR 2023) on a frozen grid, columns in natural order. With U upper triangular, Hd^-1 = U^T U:
/// <code>
/// for j = 0..n-1:  q_j = Quant(w_j);  e = (w_j - q_j) / U_jj;  w_k -= e U_jk for k > j
/// </code>
/// </summary>
internal static class GptqRounding
{
    // Rows that walk through U together: U is read once for all of them.
    // Every chunk packs the factor anew, so chunks of large matrices are larger.
    private const int FewRows = 16;
    private const int ManyRows = 64;
    private const int LargeMatrix = 1024;
    private const int BlockSize = 64;

    /// <summary>U of a damped covariance, [n, n].</summary>
    /// <param name="covariance">Hd.</param>
    /// <param name="workers">Threads for large matrices; null for the calling one alone.</param>
    public static double[] InverseFactor(DampedCovariance covariance, WorkerPool? workers = null)
    {
        var factor = (double[])covariance.Matrix.Clone();
        int pivot;
        if (!(workers is not null && covariance.Metric.IsLarge ? Cholesky.TryUpperFactorOfInverse(factor, covariance.Size, workers, out pivot) : Cholesky.TryUpperFactorOfInverse<double>(factor, covariance.Size, out pivot)))
            throw new CalibrationException($"the damped input covariance has no inverse (input {pivot})");
        return factor;
    }

    /// <summary>Chooses all codes of <paramref name="grid"/>; its scales and zero points stay.</summary>
    /// <param name="weight">[rows, n].</param>
    /// <param name="grid">Scales and zero points; receives codes.</param>
    /// <param name="inverseFactor">U, [n, n].</param>
    /// <param name="workers">Threads; rows are independent.</param>
    public static void Round(double[] weight, GridWeight grid, double[] inverseFactor, WorkerPool workers)
    {
        int n = grid.Columns, maxCode = grid.Grid.MaxCode;
        int part = grid.Rows >= LargeMatrix ? ManyRows : FewRows;
        workers.Run((grid.Rows + part - 1) / part, chunk =>
        {
            int first = chunk * part, rows = Math.Min(part, grid.Rows - first);
            double[] w = weight.AsSpan(first * n, rows * n).ToArray(), errors = new double[rows * BlockSize];
            for (int start = 0; start < n; start += BlockSize)
            {
                int end = Math.Min(n, start + BlockSize);
                for (int j = start; j < end; j++)
                {
                    ReadOnlySpan<double> u = inverseFactor.AsSpan((j * n) + j, end - j);
                    for (int row = 0; row < rows; row++)
                    {
                        int index = ((first + row) * grid.Groups) + (j / grid.GroupSize);
                        Span<double> rest = w.AsSpan((row * n) + j, end - j);
                        int code = RangeGrid.CodeOfMoved(rest[0], grid.Scales[index], grid.Zeros[index], maxCode);
                        grid.Codes[((first + row) * n) + j] = (byte)code;
                        double error = (rest[0] - ((code - grid.Zeros[index]) * grid.Scales[index])) / u[0];
                        errors[(row * BlockSize) + j - start] = error;
                        VectorKernels.AddScaled(-error, u[1..], rest[1..]);
                    }
                }
                // Columns beyond the block hear of all its errors at once, as a matrix product.
                BlockKernels.AddProduct<double>(
                    w.AsSpan(Math.Min(end, w.Length - 1)), n, errors, BlockSize, 1, inverseFactor.AsSpan(Math.Min((start * n) + end, inverseFactor.Length - 1)), n,
                    rows, n - end, end - start, -1);
            }
        });
    }
}
