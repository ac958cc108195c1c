using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Methods.Rtn;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Quantization.Methods;

/// <summary>The method of a recipe.</summary>
public static class BlockMethods
{
    // Batches differ by less than this among themselves.
    private const double RelativeSpikeLimit = 2;

    /// <summary>Creates it.</summary>
    public static IBlockMethod Create(Recipe recipe)
    {
        if (recipe.Method == QuantizationMethod.Rtn) return new RtnMethod();
        var options = new ReconstructionOptions
        {
            Iterations = recipe.Iterations,
            LearningRate = recipe.LearningRate,
            Batch = recipe.Batch,
            Loss = recipe.Loss,
            KeepBest = recipe.KeepBest,
            SpikeLimit = recipe.Loss == LossWeighting.Relative ? RelativeSpikeLimit : double.PositiveInfinity,
        };
        return recipe.Method switch
        {
            QuantizationMethod.FlexRound => new ReconstructionMethod("flexround", options, (_, _) => new ScaleShape(ScaleForm.Full, 0)),
            QuantizationMethod.LrqHybrid => new ReconstructionMethod("lrq-hybrid", options, ScaleShape.ReleasedHybridFor),
            QuantizationMethod.Lrq => new ReconstructionMethod(
                "lrq", options, (outFeatures, inFeatures) => ScaleShape.LowRankFor(outFeatures, inFeatures, recipe.Rank)),
            _ => throw new ArgumentOutOfRangeException(nameof(recipe), recipe.Method, "Unknown method."),
        };
    }
}
