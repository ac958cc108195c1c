using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Gptq;

namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>
/// flrq+ on one layer (specification FLRQ 15), all in the damped full covariance Hd:
/// <code>
/// U V = whitened fit of W;  grid = Clip(W - U V, 40 / 0.8);  Q = GPTQ(W - U V, Hd, grid);  U V = whitened fit of W - Q
/// rounds times:  Q = coordinate re-rounding of W - U V;  s = least squares;  U V = whitened fit of W - Q
/// scales to their stored type;  V to 8 bits, U refitted, U to 8 bits;  Q = re-rounding of W - U V
/// </code>
/// After the first Q no step raises the error in Hd, until scales and factors are rounded for storage; the last re-rounding knows both as stored.
/// </summary>
/// <param name="options">What is done.</param>
/// <param name="rankFor">The rank of a layer without a plan.</param>
internal sealed class PlusSolver(PlusOptions options, Func<LayerProblem, int> rankFor) : ILayerSolver
{
    private const int FinalSweeps = 3;

    /// <summary>Names of steps and the error tr(D Hd D^T) after each, in order; what the last layer went through. For tests and studies.</summary>
    internal List<(string Step, double Error)>? Trace { get; init; }

    /// <inheritdoc/>
    public LayerSolution Solve(LayerProblem problem)
    {
        var warnings = new List<string>();
        DampedCovariance metric = DampedCovariance.Of(problem.Inputs, problem.Damping, problem.Name, warnings, problem.Workers);
        int rank = problem.PlannedRank ?? rankFor(problem);
        (GridWeight weight, LowRankFactors factors) = Refine(problem, metric, rank);
        return new LayerSolution(Store(problem, metric, weight, factors), warnings);
    }

    /// <summary>Everything before storage.</summary>
    internal (GridWeight Weight, LowRankFactors Factors) Refine(LayerProblem problem, DampedCovariance metric, int rank)
    {
        int m = problem.OutFeatures, n = problem.InFeatures;
        double[]? sensitivity = options.WeighOutputs ? problem.RowSensitivity : null;
        double[]? basis = null;
        LowRankFactors Fit(double[] matrix) => WhitenedFit.Fit(matrix, m, rank, metric, sensitivity, ref basis, problem.Workers);
        double[] Residual(LowRankFactors factors) => factors.SubtractFrom(problem.Weight, m, n, problem.Workers);

        LowRankFactors factors = options.WhitenedStart ? Fit(problem.Weight) : LowRankFactors.None;
        // What rounding leaves has little to do with what the weights are made of.
        basis = null;
        problem.TakeBack();
        double[] residual = Residual(factors);
        GridWeight weight = problem.RoundToNearest(residual, problem.ClipLimits(residual, ClipRange.Wide));
        problem.TakeBack();
        if (options.Compensate) GptqRounding.Round(residual, weight, GptqRounding.InverseFactor(metric, problem.Workers), problem.Workers);
        Record("gptq", weight, residual);
        factors = Fit(weight.ErrorOf(problem.Weight));
        residual = Residual(factors);
        Record("fit", weight, residual);
        for (int round = 0; round < options.Rounds; round++)
        {
            problem.Cancellation.ThrowIfCancellationRequested();
            CoordinateRounding.Sweep(residual, weight, metric.Metric, problem.Workers);
            Record("cd", weight, residual);
            if (weight.HasFreeScales) ScaleRefit.Fit(residual, weight, metric.Metric, problem.Workers);
            Record("scale", weight, residual);
            factors = Fit(weight.ErrorOf(problem.Weight));
            residual = Residual(factors);
            Record("fit", weight, residual);
        }
        return (weight, factors);

        void Record(string step, GridWeight now, double[] target)
        {
            problem.TakeBack();
            Trace?.Add((step, QuadraticForm.Rows(now.ErrorOf(target), metric.Matrix, m, n, problem.Workers).Sum()));
        }
    }

    private Numerics.Quantized.QuantizedWeight Store(LayerProblem problem, DampedCovariance metric, GridWeight weight, LowRankFactors factors)
    {
        int m = problem.OutFeatures, n = problem.InFeatures;
        weight.RoundScales(problem.ScaleType, problem.ScaleDigits);
        LowRankFactors stored = options.FactorBits == 8
            ? ByteFactors.Round(factors, weight.ErrorOf(problem.Weight), m, metric, problem.Workers)
            : factors.ToHalf();
        problem.TakeBack();
        double[] residual = stored.SubtractFrom(problem.Weight, m, n, problem.Workers);
        for (int sweep = 0; sweep < FinalSweeps; sweep++) CoordinateRounding.Sweep(residual, weight, metric.Metric, problem.Workers);
        return weight.ToQuantizedWeight(problem.ScaleType, stored.ToBranch(options.FactorBits));
    }
}
