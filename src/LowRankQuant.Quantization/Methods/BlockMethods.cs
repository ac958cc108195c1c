using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Methods.LowRankCorrection;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Methods.Rtn;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Quantization.Methods;

/// <summary>The method of a recipe.</summary>
public static class BlockMethods
{
    // Batches differ by less than this among themselves.
    private const double RelativeSpikeLimit = 2;

    // What --damping auto tries: from hardly any to as much as the mean diagonal.
    private static readonly double[] Dampings = [0.03, 0.1, 0.3, 1];

    /// <summary>Solutions of every layer where the damping is chosen on held-out windows.</summary>
    public static int DampingsTried => Dampings.Length;

    /// <summary>Creates it.</summary>
    public static IBlockMethod Create(Recipe recipe)
    {
        if (recipe.Method == QuantizationMethod.Rtn) return new RtnMethod();
        if (recipe.Correction is { } correction)
        {
            LayerwiseMethod layerwise = Correcting(recipe, correction);
            return correction.Residual == ResidualRounding.Fitted ? layerwise
                : new ResidualMethod(layerwise, new BlockReconstruction(Training(recipe), LowRank(recipe), correction.TrainBranch));
        }
        ReconstructionOptions options = Training(recipe);
        return recipe.Method switch
        {
            QuantizationMethod.FlexRound => new ReconstructionMethod("flexround", options, (_, _) => new ScaleShape(ScaleForm.Full, 0)),
            QuantizationMethod.LrqHybrid => new ReconstructionMethod("lrq-hybrid", options, ScaleShape.ReleasedHybridFor),
            QuantizationMethod.Lrq => new ReconstructionMethod("lrq", options, LowRank(recipe)),
            _ => throw new ArgumentOutOfRangeException(nameof(recipe), recipe.Method, "Unknown method."),
        };
    }

    private static Func<int, int, ScaleShape> LowRank(Recipe recipe) => (outFeatures, inFeatures) => ScaleShape.LowRankFor(outFeatures, inFeatures, recipe.Rank);

    private static ReconstructionOptions Training(Recipe recipe)
    {
        var options = new ReconstructionOptions
        {
            Iterations = recipe.Iterations,
            LearningRate = recipe.LearningRate,
            Batch = recipe.Batch,
            Loss = recipe.Loss,
            KeepBest = recipe.KeepBest,
            SpikeLimit = recipe.Loss == LossWeighting.Relative ? RelativeSpikeLimit : double.PositiveInfinity,
        };
        return recipe.Restarts is { } restarts ? options with { Restarts = restarts } : options;
    }

    /// <summary>
    /// What chooses the codes of the output head from the second moments of its inputs, always without a branch: the method's own solver where it fits layers by
    /// themselves; error-compensated rounding (<see cref="PlusSolver"/>) for methods that learn by reconstruction, whose loss on a single linear is the same squared output error;
    /// null for round to nearest.
    /// </summary>
    internal static ILayerSolver? HeadSolver(Recipe recipe) => recipe switch
    {
        { Method: QuantizationMethod.Rtn } => null,
        // Epochs of flrq take turns between branch and codes; without a branch there is nothing to repeat.
        { Correction: { } correction } => Solver(
            recipe, correction with { RankRule = RankRule.Fixed, Rank = 0, Epochs = recipe.Method == QuantizationMethod.Flrq ? 0 : correction.Epochs }),
        _ => new PlusSolver(new PlusOptions(), _ => 0),
    };

    private static LayerwiseMethod Correcting(Recipe recipe, CorrectionRecipe correction)
    {
        string name = RecipeNames.Of(RecipeNames.Methods, recipe.Method);
        var inputs = new LayerwiseOptions
        {
            QuantizedInputs = correction.QuantizedInputs,
            Propagation = correction.Propagation,
            ExpertFloor = correction.ExpertFloor,
            Dampings = correction.ChooseDamping ? Dampings : [correction.Damping],
        };
        return new LayerwiseMethod(name, Solver(recipe, correction), inputs);
    }

    private static ILayerSolver Solver(Recipe recipe, CorrectionRecipe correction)
    {
        int RankFor(LayerProblem problem) => correction.RankFor(problem.OutFeatures, problem.InFeatures, problem.Grid.Bits);
        ErrorFitSolver Peer(ErrorMetric metric) => new(metric, RankFor, correction.Clip);

        return recipe.Method switch
        {
            QuantizationMethod.Flrq => new FlrqSolver(new FlrqOptions
            {
                Rule = correction.RankRule,
                Rank = correction.Rank,
                ExtraSize = correction.ExtraSize,
                PowerIterations = correction.PowerIterations,
                Sketch = correction.Sketch,
                ScalePower = correction.ScalePower,
                Epochs = correction.Epochs,
                Clip = correction.Clip,
            }),
            QuantizationMethod.FlrqPlus => new PlusSolver(
                new PlusOptions
                {
                    Rounds = correction.Epochs,
                    FactorBits = correction.FactorBits,
                    Compensate = correction.Compensate,
                    WeighOutputs = correction.WeighOutputs,
                },
                RankFor),
            QuantizationMethod.Svd or QuantizationMethod.Lqer => Peer(ErrorMetric.Plain),
            QuantizationMethod.L2qer => Peer(ErrorMetric.MeanMagnitude),
            QuantizationMethod.QeraApprox => Peer(ErrorMetric.RootMeanSquare),
            QuantizationMethod.QeraExact => Peer(ErrorMetric.Covariance),
            _ => throw new ArgumentOutOfRangeException(nameof(recipe), recipe.Method, "Unknown method."),
        };
    }
}
