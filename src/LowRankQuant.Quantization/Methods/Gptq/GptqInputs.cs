using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Gptq;

/// <summary>
/// What GPTQ makes of the inputs of a layer, with H = 2 X^T X / tokens and, for GPTAQ, dX = 2 (Xfp - Xq)^T Xq / tokens:
/// <code>
/// H_jj = 0 (no calibration token has input j):  H_jj = 1, w_j = 0, column j of dX = 0
/// order   columns by falling H_jj, equal ones as they stand
/// U       upper triangular, U^T U = (H + d mean(diag H) I)^-1;  d is doubled until there is such a U
/// P       alpha triu(dX U^T, 1) U
/// </code>
/// </summary>
internal sealed class GptqInputs
{
    // More than this, and nothing of the inputs is left in the metric.
    private const double LargestDamping = 1;
    private const double SmallestDamping = 1e-6;

    private readonly int _size;
    private readonly int[] _dead;

    private GptqInputs(int size, int[]? order, int[] dead, double[] inverseFactor, double[]? correction, double damping)
    {
        _size = size;
        _dead = dead;
        Order = order;
        InverseFactor = inverseFactor;
        Correction = correction;
        Damping = damping;
    }

    /// <summary>Columns in the order in which they are rounded; null for that in which they stand.</summary>
    public int[]? Order { get; }

    /// <summary>U, [n, n], in that order.</summary>
    public double[] InverseFactor { get; }

    /// <summary>P, [n, n], in that order; null without GPTAQ.</summary>
    public double[]? Correction { get; }

    /// <summary>d, the damping that was used.</summary>
    public double Damping { get; }

    /// <summary>Of a layer.</summary>
    /// <param name="problem">The layer.</param>
    /// <param name="options">Choices.</param>
    /// <param name="warnings">Receives what the user should know.</param>
    public static GptqInputs Of(LayerProblem problem, GptqOptions options, List<string> warnings)
    {
        int n = problem.InFeatures;
        double[] covariance = problem.Inputs.Covariance, moments = GC.AllocateUninitializedArray<double>(n * n);
        for (int i = 0; i < moments.Length; i++) moments[i] = 2 * covariance[i];
        double[]? shift = null;
        if (options.Asymmetry > 0)
        {
            double[] cross = problem.Cross ?? throw new ArgumentException($"{problem.Name}: GPTAQ looks at full-precision inputs beside the others, and there are none.", nameof(problem));
            shift = GC.AllocateUninitializedArray<double>(n * n);
            for (int i = 0; i < shift.Length; i++) shift[i] = 2 * (cross[i] - covariance[i]);
        }
        GptqInputs inputs = Of(moments, shift, n, options, problem.Damping, problem.Name, warnings, problem.Workers);
        problem.Inputs.WarnOfFewTokens(problem.Name, inputs.Damping, warnings);
        return inputs;
    }

    /// <summary>Of given moments.</summary>
    /// <param name="moments">H, [n, n]; not to be used any more.</param>
    /// <param name="shift">dX, [n, n], not to be used any more; null without GPTAQ.</param>
    /// <param name="n">Inputs.</param>
    /// <param name="options">Choices.</param>
    /// <param name="damping">d at first.</param>
    /// <param name="name">The layer, for messages.</param>
    /// <param name="warnings">Receives what the user should know.</param>
    /// <param name="workers">Threads.</param>
    /// <exception cref="CalibrationException">No damping helps.</exception>
    public static GptqInputs Of(double[] moments, double[]? shift, int n, GptqOptions options, double damping, string name, List<string> warnings, WorkerPool workers)
    {
        int[] dead = [.. Enumerable.Range(0, n).Where(j => moments[(j * n) + j] == 0)];
        foreach (int j in dead)
        {
            moments[(j * n) + j] = 1;
            for (int i = 0; i < shift?.Length; i += n) shift[i + j] = 0;
        }
        if (dead.Length == n)
        {
            warnings.Add($"{name}: all calibration inputs are zero; its weights are rounded as if all inputs were alike.");
            dead = [];
        }
        else if (dead.Length > 0)
        {
            warnings.Add($"{name}: {dead.Length} of {n} inputs are 0 on every calibration token, such as input {dead[0]}; the weights that read them become 0.");
        }
        int[]? order = options.ActOrder ? [.. Enumerable.Range(0, n).OrderByDescending(j => moments[(j * n) + j])] : null;
        (double[] factor, double used) = Factor(Ordered(moments, n, order), n, order, damping, name, warnings, workers);
        return new GptqInputs(n, order, dead, factor, shift is null ? null : CorrectionOf(Ordered(shift, n, order), factor, n, options.Asymmetry, workers), used);
    }

    /// <summary>A weight without what reads inputs that no calibration token has, [rows, n].</summary>
    public double[] Living(double[] weight)
    {
        if (_dead.Length == 0) return weight;
        int n = _size;
        var living = (double[])weight.Clone();
        for (int start = 0; start < living.Length; start += n)
        {
            foreach (int j in _dead) living[start + j] = 0;
        }
        return living;
    }

    private static (double[] Factor, double Damping) Factor(double[] moments, int n, int[]? order, double damping, string name, List<string> warnings, WorkerPool workers)
    {
        double mean = 0;
        for (int j = 0; j < n; j++) mean += moments[(j * n) + j] / n;
        int failed = -1;
        for (double used = damping; used <= Math.Max(LargestDamping, damping); used = Math.Max(SmallestDamping, 2 * used))
        {
            var factor = (double[])moments.Clone();
            for (int j = 0; j < n; j++) factor[(j * n) + j] += used * mean;
            if (GptqRounding.TryInverseFactor(factor, n, workers, out int pivot))
            {
                if (used != damping)
                    warnings.Add(FormattableString.Invariant($"{name}: the input covariance is singular (input {failed}); damping {used:G3} was used instead of {damping:G3}."));
                return (factor, used);
            }
            failed = order is null ? pivot : order[pivot];
        }
        throw new CalibrationException($"{name}: the covariance of its inputs cannot be factored even with a damping of {LargestDamping}; look for broken calibration text.");
    }

    private static double[] CorrectionOf(double[] shift, double[] factor, int n, double alpha, WorkerPool workers)
    {
        double[] product = GC.AllocateUninitializedArray<double>(n * n);
        MatrixProduct.MultiplyTransposed(shift, factor, product, n, n, n, workers);
        for (int row = 0; row < n; row++)
        {
            product.AsSpan(row * n, row + 1).Clear();
            foreach (ref double value in product.AsSpan((row * n) + row + 1, n - row - 1)) value *= alpha;
        }
        MatrixProduct.Multiply(product, factor, shift, n, n, n, workers);
        return shift;
    }

    private static double[] Ordered(double[] matrix, int n, int[]? order)
    {
        if (order is null) return matrix;
        double[] ordered = GC.AllocateUninitializedArray<double>(n * n);
        for (int row = 0; row < n; row++)
        {
            ReadOnlySpan<double> from = matrix.AsSpan(order[row] * n, n);
            Span<double> to = ordered.AsSpan(row * n, n);
            for (int j = 0; j < n; j++) to[j] = from[order[j]];
        }
        return ordered;
    }
}
