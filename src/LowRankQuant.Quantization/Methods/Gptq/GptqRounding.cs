using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Gptq;

/// <summary>
/// Error-compensated rounding (GPTQ, Frantar et al., ICLR 2023). With U upper triangular, Hd^-1 = U^T U, and P of GPTAQ (Li et al., 2504.02692) where it is given:
/// <code>
/// for j = 0..n-1:  q_j = Quant(w_j);  e = (w_j - q_j) / U_jj;  w_k += w_j P_jk - e U_jk for k > j
/// </code>
/// The columns behind a run of them hear of all its errors at once, as a matrix product, which is the same sum.
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
        if (!TryInverseFactor(factor, covariance.Size, workers, out int pivot)) throw new CalibrationException($"the damped input covariance has no inverse (input {pivot})");
        return factor;
    }

    /// <summary>Puts U in the place of Hd.</summary>
    /// <param name="matrix">Hd, [n, n].</param>
    /// <param name="size">n.</param>
    /// <param name="workers">Threads for large matrices; null for the calling one alone.</param>
    /// <param name="pivot">The column at which a matrix that is not positive definite fails.</param>
    public static bool TryInverseFactor(double[] matrix, int size, WorkerPool? workers, out int pivot) => workers is not null && size > TruncatedSvd.LargestExact
        ? Cholesky.TryUpperFactorOfInverse(matrix, size, workers, out pivot)
        : Cholesky.TryUpperFactorOfInverse<double>(matrix, size, out pivot);

    /// <summary>Chooses all codes of <paramref name="grid"/>; its scales and zero points stay where the walk finds none.</summary>
    /// <param name="weight">[rows, n].</param>
    /// <param name="grid">Scales and zero points; receives codes.</param>
    /// <param name="inverseFactor">U, [n, n].</param>
    /// <param name="workers">Threads; rows are independent.</param>
    /// <param name="walk">How the columns are walked through; null for their order and the grid as it is.</param>
    public static void Round(double[] weight, GridWeight grid, double[] inverseFactor, WorkerPool workers, GptqWalk? walk = null)
    {
        walk ??= new GptqWalk();
        int part = grid.Rows >= LargeMatrix ? ManyRows : FewRows;
        workers.Run((grid.Rows + part - 1) / part, chunk =>
        {
            int first = chunk * part;
            RoundRows(weight, grid, first, Math.Min(part, grid.Rows - first), inverseFactor, walk);
        });
    }

    private static void RoundRows(double[] weight, GridWeight grid, int first, int rows, double[] inverseFactor, GptqWalk walk)
    {
        int n = grid.Columns, size = grid.GroupSize;
        double[] w = Ordered(weight.AsSpan(first * n, rows * n), n, walk.Order), errors = new double[rows * BlockSize];
        double[]? values = walk.Correction is null ? null : new double[rows * BlockSize];
        for (int start = 0; start < n;)
        {
            int end = End(start, n, walk.Moved is null ? 1 : size);
            for (int j = start; j < end; j++)
            {
                int column = walk.Order is null ? j : walk.Order[j], group = (walk.Moved is null ? column : j) / size;
                GroupGrid? found = j % size == 0 ? walk.Moved : null;
                ReadOnlySpan<double> u = inverseFactor.AsSpan((j * n) + j, end - j), p = walk.Correction is null ? default : walk.Correction.AsSpan((j * n) + j, end - j);
                for (int row = 0; row < rows; row++)
                {
                    int index = ((first + row) * grid.Groups) + group;
                    if (found is not null) (grid.Scales[index], grid.Zeros[index]) = found(w.AsSpan((row * n) + j, size));
                    Span<double> rest = w.AsSpan((row * n) + j, end - j);
                    double value = rest[0];
                    (grid.Codes[((first + row) * n) + column], double rounded) = grid.Nearest(value, index);
                    double error = (value - rounded) / u[0];
                    errors[(row * BlockSize) + j - start] = error;
                    VectorKernels.AddScaled(-error, u[1..], rest[1..]);
                    if (values is null) continue;
                    values[(row * BlockSize) + j - start] = value;
                    VectorKernels.AddScaled(value, p[1..], rest[1..]);
                }
            }
            AddBehind(w, n, rows, start, end, errors, inverseFactor, -1);
            if (values is not null) AddBehind(w, n, rows, start, end, values, walk.Correction!, 1);
            start = end;
        }
    }

    // The end of a run of columns. One whose grid is found on the way does not begin within a run: the weights of all of it have to have heard of everything before.
    private static int End(int start, int n, int size)
    {
        int end = Math.Min(n, start + BlockSize), border = end / size * size;
        return border > start ? border : end;
    }

    private static double[] Ordered(ReadOnlySpan<double> rows, int n, int[]? order)
    {
        double[] ordered = rows.ToArray();
        if (order is null) return ordered;
        for (int start = 0; start < ordered.Length; start += n)
        {
            for (int j = 0; j < n; j++) ordered[start + j] = rows[start + order[j]];
        }
        return ordered;
    }

    private static void AddBehind(double[] w, int n, int rows, int start, int end, double[] amounts, double[] matrix, double factor) => BlockKernels.AddProduct<double>(
        w.AsSpan(Math.Min(end, w.Length - 1)), n, amounts, BlockSize, 1, matrix.AsSpan(Math.Min((start * n) + end, matrix.Length - 1)), n, rows, n - end, end - start, factor);
}
