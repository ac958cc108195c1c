using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>FLRQ on one layer: <see cref="Blc"/> around a rank rule, then the factors to fp16 and codes chosen once more for what is stored.</summary>
/// <param name="options">What is done.</param>
internal sealed class FlrqSolver(FlrqOptions options) : ILayerSolver
{
    private const int FactorBits = 16;

    /// <inheritdoc/>
    public LayerSolution Solve(LayerProblem problem)
    {
        int m = problem.OutFeatures, n = problem.InFeatures;
        var cost = new RankCost(m, n, problem.Grid.Bits, FactorBits);
        double[] alpha = ActivationScale.Of(problem.Inputs.MeanMagnitude, options.ScalePower);
        var sketching = new Sketching(options.Sketch, options.PowerIterations, new StartVectors(m, problem.Seed), problem.Workers);
        double[] diagonal = [.. Enumerable.Range(0, n).Select(i => problem.Inputs.Covariance[(i * n) + i])];
        var noise = new PredictedNoise(alpha, diagonal, RangeGrid.GroupSize(problem.Grid, n));
        Func<double[], LowRankFactors> extract = options.Rule switch
        {
            RankRule.R1Flr => matrix => R1Flr.Extract(matrix, alpha, cost, options.ExtraSize, sketching).Factors,
            RankRule.PredictedNoise => matrix => RankSelection.ByPredictedNoise(matrix, alpha, cost, options.ExtraSize, noise, sketching),
            RankRule.Cap => matrix => RankSelection.OfRank(matrix, alpha, cost.Cap(options.ExtraSize), sketching),
            _ => matrix => RankSelection.OfRank(matrix, alpha, options.Rank, sketching),
        };
        var blc = new Blc(extract, options.Epochs, options.Clip, options.WideClip ? ClipRange.Wide : ClipRange.Narrow);
        Blc.Pair best = blc.Run(problem);
        LowRankFactors stored = best.Factors.ToHalf();
        best.Weight.RoundScales(problem.ScaleType, problem.ScaleDigits);
        best.Weight.RoundCodes(stored.SubtractFrom(problem.Weight, m, n, problem.Workers), problem.Workers);
        return new LayerSolution(best.Weight.ToQuantizedWeight(problem.ScaleType, stored.ToBranch(FactorBits)), []);
    }
}
