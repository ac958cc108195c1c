using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>
/// Coordinate re-rounding on a frozen grid: with d = target - q and g = Hd d, every code in turn goes to the grid point nearest to q_j + g_j / Hd_jj,
/// the best value while the others stay. The error d^T Hd d of a row never rises.
/// </summary>
internal static class CoordinateRounding
{
    private const int RowsPerChunk = 16;

    /// <summary>One sweep over all columns of all rows.</summary>
    /// <param name="target">What codes and scales should represent, [rows, n].</param>
    /// <param name="weight">Codes are improved in place.</param>
    /// <param name="metric">Hd.</param>
    /// <param name="workers">Threads; rows are independent.</param>
    public static void Sweep(double[] target, GridWeight weight, CovarianceMetric metric, WorkerPool workers)
    {
        int n = weight.Columns, maxCode = weight.Grid.MaxCode;
        double[] gradient = metric.Multiply(weight.ErrorOf(target), weight.Rows, workers);
        workers.Run((weight.Rows + RowsPerChunk - 1) / RowsPerChunk, chunk =>
        {
            int first = chunk * RowsPerChunk, rows = Math.Min(RowsPerChunk, weight.Rows - first);
            for (int j = 0; j < n; j++)
            {
                ReadOnlySpan<double> h = metric.Matrix.AsSpan(j * n, n);
                for (int row = first; row < first + rows; row++)
                {
                    int at = (row * n) + j, index = (row * weight.Groups) + (j / weight.GroupSize);
                    double zero = weight.Zeros[index], scale = weight.Scales[index], value = (weight.Codes[at] - zero) * scale;
                    int code = RangeGrid.Code(value + (gradient[at] / h[j]), scale, zero, maxCode);
                    if (code == weight.Codes[at]) continue;
                    double change = ((code - zero) * scale) - value;
                    weight.Codes[at] = (byte)code;
                    // Columns that this sweep has passed are not looked at again.
                    VectorKernels.AddScaled(-change, h[(j + 1)..], gradient.AsSpan(at + 1, n - j - 1));
                }
            }
        });
    }
}
