using System.Numerics;
using System.Runtime.InteropServices;
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
    // Every chunk packs the matrix anew, so chunks of large ones are larger.
    private const int FewRows = 16;
    private const int ManyRows = 128;

    /// <summary>Replaces the scales.</summary>
    /// <param name="target">[rows, n].</param>
    /// <param name="weight">Codes stay; scales are replaced.</param>
    /// <param name="metric">Hd.</param>
    /// <param name="workers">Threads; rows are independent.</param>
    public static void Fit(double[] target, GridWeight weight, CovarianceMetric metric, WorkerPool workers)
    {
        if (metric.IsLarge) Fit(target, weight, metric, metric.Single(workers), ManyRows, workers);
        else Fit(target, weight, metric, metric.Matrix, FewRows, workers);
    }

    // T is the precision of the products u_g Hd u_h; u holds small integers, and the sums are solved in double.
    private static void Fit<T>(double[] target, GridWeight weight, CovarianceMetric metric, T[] matrix, int part, WorkerPool workers)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int n = weight.Columns, groups = weight.Groups, size = weight.GroupSize;
        double[] gradient = metric.Multiply(target, weight.Rows, workers);
        workers.Run((weight.Rows + part - 1) / part, chunk =>
        {
            int first = chunk * part, rows = Math.Min(part, weight.Rows - first);
            T[] steps = Steps<T>(weight, first, rows), image = GC.AllocateUninitializedArray<T>(rows * n);
            double[] normal = new double[rows * groups * groups], right = new double[rows * groups];
            for (int group = 0; group < groups; group++)
            {
                // image = u_group Hd; only groups up to this one are needed, the matrix is symmetric.
                int start = group * size, reach = start + size;
                MatrixProduct.MultiplySerial<T>(steps.AsSpan(start), n, matrix.AsSpan(start * n), n, image, n, rows, size, reach);
                for (int row = 0; row < rows; row++)
                {
                    ReadOnlySpan<T> own = steps.AsSpan(row * n, n), seen = image.AsSpan(row * n, n);
                    Span<double> line = normal.AsSpan(((row * groups) + group) * groups, groups);
                    for (int other = 0; other <= group; other++) line[other] = double.CreateChecked(VectorKernels.Dot(own.Slice(other * size, size), seen.Slice(other * size, size)));
                    right[(row * groups) + group] = Dot(own.Slice(start, size), gradient.AsSpan(((first + row) * n) + start, size));
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

    private static double Dot<T>(ReadOnlySpan<T> steps, ReadOnlySpan<double> gradient)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (typeof(T) == typeof(double)) return VectorKernels.Dot(MemoryMarshal.Cast<T, double>(steps), gradient);
        double sum = 0;
        for (int i = 0; i < steps.Length; i++) sum += double.CreateChecked(steps[i]) * gradient[i];
        return sum;
    }

    // code - zero, [rows, n].
    private static T[] Steps<T>(GridWeight weight, int first, int rows)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        int size = weight.GroupSize;
        T[] steps = GC.AllocateUninitializedArray<T>(rows * weight.Columns);
        for (int group = 0; group < rows * weight.Groups; group++)
        {
            double zero = weight.Zeros[(first * weight.Groups) + group];
            ReadOnlySpan<byte> codes = weight.Codes.AsSpan((first * weight.Columns) + (group * size), size);
            for (int i = 0; i < size; i++) steps[(group * size) + i] = T.CreateChecked(codes[i] - zero);
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
