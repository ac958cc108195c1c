using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>
/// Least-squares scales for codes that stay: per row, the scales s of all groups minimise |target - sum_g s_g u_g| in the metric Hd, where u_g holds
/// the group's code - zero and is 0 elsewhere. A row whose solution has a scale that is not positive keeps its old scales.
/// </summary>
internal static class ScaleRefit
{
    private const int RowsPerChunk = 16;

    /// <summary>Replaces the scales.</summary>
    /// <param name="target">[rows, n].</param>
    /// <param name="weight">Codes stay; scales are replaced.</param>
    /// <param name="metric">Hd, [n, n].</param>
    /// <param name="workers">Threads; rows are independent.</param>
    public static void Fit(double[] target, GridWeight weight, double[] metric, WorkerPool workers)
    {
        int n = weight.Columns, groups = weight.Groups, size = weight.GroupSize;
        var gradient = new double[target.Length];
        MatrixProduct.Multiply(target, metric, gradient, weight.Rows, n, n, workers);
        workers.Run((weight.Rows + RowsPerChunk - 1) / RowsPerChunk, chunk =>
        {
            int first = chunk * RowsPerChunk, rows = Math.Min(RowsPerChunk, weight.Rows - first);
            double[] steps = Steps(weight, first, rows), image = new double[rows * n], normal = new double[rows * groups * groups], right = new double[rows * groups];
            for (int group = 0; group < groups; group++)
            {
                // image = u_group Hd; only groups up to this one are needed, the matrix is symmetric.
                int start = group * size, reach = start + size;
                Array.Clear(image);
                BlockKernels.AddProduct<double>(image, n, steps.AsSpan(start), n, 1, metric.AsSpan(start * n), n, rows, reach, size, 1);
                for (int row = 0; row < rows; row++)
                {
                    ReadOnlySpan<double> own = steps.AsSpan(row * n, n), seen = image.AsSpan(row * n, n);
                    Span<double> line = normal.AsSpan(((row * groups) + group) * groups, groups);
                    for (int other = 0; other <= group; other++) line[other] = VectorKernels.Dot(own.Slice(other * size, size), seen.Slice(other * size, size));
                    right[(row * groups) + group] = VectorKernels.Dot(own.Slice(start, size), gradient.AsSpan(((first + row) * n) + start, size));
                    // A group whose codes all sit at zero has no say: its scale stays.
                    if (line[group] > 0) continue;
                    line[group] = 1;
                    right[(row * groups) + group] = weight.Scales[((first + row) * groups) + group];
                }
            }
            for (int row = 0; row < rows; row++)
            {
                Span<double> matrix = normal.AsSpan(row * groups * groups, groups * groups), scales = right.AsSpan(row * groups, groups);
                if (!Cholesky.TryFactor(matrix, groups, out _)) continue;
                Cholesky.Solve(matrix, groups, scales, 1);
                if (AllPositive(scales)) scales.CopyTo(weight.Scales.AsSpan((first + row) * groups));
            }
        });
    }

    // code - zero, [rows, n].
    private static double[] Steps(GridWeight weight, int first, int rows)
    {
        int size = weight.GroupSize;
        var steps = new double[rows * weight.Columns];
        for (int group = 0; group < rows * weight.Groups; group++)
        {
            double zero = weight.Zeros[(first * weight.Groups) + group];
            ReadOnlySpan<byte> codes = weight.Codes.AsSpan((first * weight.Columns) + (group * size), size);
            for (int i = 0; i < size; i++) steps[(group * size) + i] = codes[i] - zero;
        }
        return steps;
    }

    private static bool AllPositive(ReadOnlySpan<double> scales)
    {
        foreach (double scale in scales)
        {
            if (!(scale > 0) || !double.IsFinite(scale)) return false;
        }
        return true;
    }
}
