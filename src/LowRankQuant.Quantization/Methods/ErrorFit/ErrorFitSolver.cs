using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Flrq;

namespace LowRankQuant.Quantization.Methods.ErrorFit;

/// <summary>
/// The one-shot peers: Q = Quant(W), then U V = argmin |(W - Q - U V) R| for a root R of the metric.
/// <code>
/// LQER, plain SVD  R = I                                            (Zhang et al., 2402.02446)
/// L2QER            R = diag(a / sqrt(min a max a)), a = max(mean|x|, 1e-4)
/// QERA-approx      R = diag(sqrt(mean x^2))                         (Zhang et al., 2410.06040)
/// QERA-exact       R = C, Hd = C C^T
/// </code>
/// </summary>
/// <param name="metric">R.</param>
/// <param name="rankFor">The rank of a layer.</param>
/// <param name="clip">Whether W is clipped before it is rounded.</param>
internal sealed class ErrorFitSolver(ErrorMetric metric, Func<LayerProblem, int> rankFor, bool clip) : ILayerSolver
{
    private const int FactorBits = 16;
    private const double Floor = 1e-4;

    /// <inheritdoc/>
    public LayerSolution Solve(LayerProblem problem)
    {
        var warnings = new List<string>();
        GridWeight weight = problem.RoundToNearest(problem.Weight, clip ? problem.ClipLimits(problem.Weight, ClipRange.Wide) : null);
        weight.RoundScales(problem.ScaleType, problem.ScaleDigits);
        weight.RoundCodes(problem.Weight, problem.Workers);
        LowRankFactors factors = Fit(problem, weight.ErrorOf(problem.Weight), rankFor(problem), warnings).ToHalf();
        return new LayerSolution(weight.ToQuantizedWeight(problem.ScaleType, factors.ToBranch(FactorBits)), warnings);
    }

    /// <summary>The term of an error D [m, n].</summary>
    internal LowRankFactors Fit(LayerProblem problem, double[] error, int rank, List<string> warnings)
    {
        if (metric == ErrorMetric.Covariance)
        {
            DampedCovariance covariance = DampedCovariance.Of(problem.Inputs, problem.Damping, problem.Name, warnings, problem.Workers);
            return WhitenedFit.Fit(error, problem.OutFeatures, rank, covariance, null, problem.Workers);
        }
        return FitScaled(error, problem.OutFeatures, rank, Scale(problem.Inputs), problem.Workers);
    }

    private double[] Scale(InputStatistics inputs)
    {
        int n = inputs.Size;
        switch (metric)
        {
            case ErrorMetric.MeanMagnitude:
                return ActivationScale.Of(inputs.MeanMagnitude, 1);
            case ErrorMetric.RootMeanSquare:
                double[] root = [.. Enumerable.Range(0, n).Select(i => Math.Sqrt(inputs.Covariance[(i * n) + i]))];
                // An input that never fires would make the scale singular.
                double least = Floor * Math.Max(root.Max(), double.Epsilon);
                return [.. root.Select(value => Math.Max(value, least))];
            default:
                return [.. Enumerable.Repeat(1.0, n)];
        }
    }

    private static LowRankFactors FitScaled(double[] error, int rows, int rank, double[] scale, WorkerPool workers)
    {
        if (rank == 0) return LowRankFactors.None;
        int n = scale.Length;
        var scaled = (double[])error.Clone();
        for (int i = 0; i < scaled.Length; i++) scaled[i] *= scale[i % n];
        (double[] p, double[] s, double[] q) = TruncatedSvd.Decompose(scaled, rows, n, rank, workers);
        var u = new double[rows * rank];
        for (int term = 0; term < rank; term++)
        {
            for (int row = 0; row < rows; row++) u[(row * rank) + term] = p[(term * rows) + row] * s[term];
            for (int column = 0; column < n; column++) q[(term * n) + column] /= scale[column];
        }
        return new LowRankFactors(rank, u, q);
    }
}
