using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// Hd = H + damping tr(H) / n I and its Cholesky factor C, Hd = C C^T: the metric in which error-compensating methods work. |D C|^2 = tr(D Hd D^T).
/// </summary>
internal sealed class DampedCovariance
{
    private const double LargestDamping = 10;

    // Right-hand sides that a thread solves together.
    private const int RowsPerPart = 64;

    private float[]? _single;

    private DampedCovariance(double[] matrix, double[] factor, int size, double damping)
    {
        Metric = new CovarianceMetric(matrix, size);
        Factor = factor;
        Size = size;
        Damping = damping;
    }

    /// <summary>Hd, [n, n].</summary>
    public double[] Matrix => Metric.Matrix;

    /// <summary>Hd as a metric.</summary>
    public CovarianceMetric Metric { get; }

    /// <summary>C, lower triangular, [n, n].</summary>
    public double[] Factor { get; }

    /// <summary>n.</summary>
    public int Size { get; }

    /// <summary>The damping that was used.</summary>
    public double Damping { get; }

    /// <summary>Damps a covariance; more than asked for where the factorisation needs it.</summary>
    /// <param name="inputs">The layer's inputs.</param>
    /// <param name="damping">Part of the mean diagonal that is added to the diagonal.</param>
    /// <param name="name">The layer, for warnings.</param>
    /// <param name="warnings">Receives what the user should know.</param>
    /// <param name="workers">Threads for large matrices; null for the calling one alone.</param>
    public static DampedCovariance Of(InputStatistics inputs, double damping, string name, List<string> warnings, WorkerPool? workers = null)
    {
        int n = inputs.Size;
        double trace = 0;
        for (int i = 0; i < n; i++) trace += inputs.Covariance[(i * n) + i];
        if (trace == 0) warnings.Add($"{name}: all calibration inputs are zero; its weights are rounded as if all inputs were alike.");
        double mean = trace > 0 ? trace / n : 1;
        int singular = -1;
        // An exactly singular covariance needs a little even where none was asked for.
        for (double used = damping; used <= LargestDamping; used = Math.Max(1e-6, used * 10))
        {
            var matrix = (double[])inputs.Covariance.Clone();
            for (int i = 0; i < n; i++) matrix[(i * n) + i] += trace > 0 ? used * mean : 1;
            var factor = (double[])matrix.Clone();
            int pivot;
            if (!(workers is not null && n > TruncatedSvd.LargestExact ? Cholesky.TryFactor(factor, n, workers, out pivot) : Cholesky.TryFactor<double>(factor, n, out pivot)))
            {
                singular = pivot;
                continue;
            }
            if (used != damping)
                warnings.Add(FormattableString.Invariant($"{name}: the input covariance is singular (input {singular}); damping {used:G3} was used instead of {damping:G3}."));
            inputs.WarnOfFewTokens(name, used, warnings);
            return new DampedCovariance(matrix, factor, n, used);
        }
        throw new CalibrationException($"{name}: the covariance of its inputs cannot be factored even with a damping of {LargestDamping}; look for broken calibration text.");
    }

    /// <summary>D C, [rows, n].</summary>
    public double[] Whiten(double[] matrix, int rows, WorkerPool workers)
    {
        double[] result = GC.AllocateUninitializedArray<double>(matrix.Length);
        if (Metric.IsLarge)
        {
            if (_single is null) SingleProduct.Narrow(Factor, _single = GC.AllocateUninitializedArray<float>(Factor.Length), Size, workers);
            SingleProduct.Multiply(matrix, _single, result, rows, Size, Size, workers, lowerTriangular: true);
        }
        else MatrixProduct.Multiply(matrix, Factor, result, rows, Size, Size, workers);
        return result;
    }

    /// <summary>X with X C = B, in place; B is [rows, n].</summary>
    public void Unwhiten(double[] b, int rows, WorkerPool workers) => workers.Run((rows + RowsPerPart - 1) / RowsPerPart, chunk =>
    {
        int count = Math.Min(RowsPerPart, rows - (chunk * RowsPerPart));
        TriangularSystem.SolveRight<double>(Factor, Size, b.AsSpan(chunk * RowsPerPart * Size, count * Size), count);
    });

    /// <summary>X with X Hd = B, in place; B is [rows, n].</summary>
    public void SolveRight(double[] b, int rows, WorkerPool workers)
    {
        workers.Run((rows + RowsPerPart - 1) / RowsPerPart, chunk =>
        {
            int count = Math.Min(RowsPerPart, rows - (chunk * RowsPerPart));
            Span<double> span = b.AsSpan(chunk * RowsPerPart * Size, count * Size);
            TriangularSystem.SolveRightTransposed<double>(Factor, Size, span, count);
            TriangularSystem.SolveRight<double>(Factor, Size, span, count);
        });
    }
}
