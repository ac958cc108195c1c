using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Methods.Layerwise;

namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>
/// Least-squares scales for codes that stay: per row, the scales s of all groups minimise |target - sum_g s_g u_g| in the metric Hd, where u_g holds
/// the group's code - zero and is 0 elsewhere. A row whose solution has a scale that is not positive keeps its old scales.
/// </summary>
internal static class ScaleRefit
{
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
        workers.Run(weight.Rows, row =>
        {
            double[] normal = new double[groups * groups], right = new double[groups], image = new double[n];
            for (int group = 0; group < groups; group++)
            {
                // image = Hd u_group; only groups up to this one are needed, the matrix is symmetric.
                int reach = (group + 1) * size;
                double zero = weight.Zeros[(row * groups) + group];
                Array.Clear(image);
                for (int j = group * size; j < reach; j++)
                {
                    double step = weight.Codes[(row * n) + j] - zero;
                    if (step == 0) continue;
                    VectorKernels.AddScaled(step, metric.AsSpan(j * n, reach), image.AsSpan(0, reach));
                    right[group] += step * gradient[(row * n) + j];
                }
                for (int other = 0; other <= group; other++)
                {
                    double otherZero = weight.Zeros[(row * groups) + other];
                    double sum = 0;
                    for (int j = other * size; j < (other + 1) * size; j++) sum += (weight.Codes[(row * n) + j] - otherZero) * image[j];
                    normal[(group * groups) + other] = sum;
                }
                // A group whose codes all sit at zero has no say: its scale stays.
                if (normal[(group * groups) + group] > 0) continue;
                normal[(group * groups) + group] = 1;
                right[group] = weight.Scales[(row * groups) + group];
            }
            if (!Cholesky.TryFactor<double>(normal, groups, out _)) return;
            Cholesky.Solve<double>(normal, groups, right, 1);
            if (right.All(scale => scale > 0 && double.IsFinite(scale))) right.CopyTo(weight.Scales, row * groups);
        });
    }
}
