using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What the largest block of a model takes while it is worked on, in bytes, whole or expert by expert.</summary>
/// <param name="config">Sizes of the model.</param>
/// <param name="layout">Its linears.</param>
/// <param name="recipe">What is done.</param>
internal sealed class BlockMemory(DecoderConfig config, ModelLayout layout, Recipe recipe)
{
    // Of a layer that is fitted by itself, in double precision: weight, target, residuals, codes' values and errors; covariance, damped, factors.
    private const long LayerMatrices = 8;
    private const long Covariances = 6;

    // Of an expert that is paged: floats on the device, a copy to round, the result; the collector has as much again to come back for.
    private const long PagedCopies = 6;

    // Rounded to nearest for the report's first figure, and finished.
    private const long CodeCopies = 2;

    // Tokens that pass a block together when a result is measured.
    private const long MeasuredTokens = 2048;

    private bool Corrects => recipe.Method.FitsLayers;

    private bool Trains => recipe.Method.Training is not null;

    /// <summary>Why experts cannot be taken one by one, as the end of a sentence; null where they can.</summary>
    public string? WholeOnly => recipe.Tuning is not null && recipe.Method.Training is null ? "tunes the whole model, which takes gradients through whole blocks" : recipe.Method.WholeBlock;

    /// <summary>All weights of a block as floats at once.</summary>
    public long Whole()
    {
        long weights = 0, learned = 0, layer = 0;
        foreach ((_, int outFeatures, int inFeatures) in layout.LargestBlock)
        {
            weights += (long)outFeatures * inFeatures;
            layer = Math.Max(layer, LayerBytes(outFeatures, inFeatures));
            learned += recipe.Method.LearnedParameters(outFeatures, inFeatures);
        }
        long tokens = (long)recipe.Batch * recipe.SequenceLength;
        long tape = recipe.Method.Training is { } training ? TapeMemory.Bytes(config, layout, recipe, tokens, training.Inside) : 0;
        // Weights twice while they are rounded; in training What, its residue and gradient; parameters with gradient, two moments and two snapshots.
        return Math.Max(Trains ? (weights * 4 * 5) + (learned * 4 * 6) : weights * 4 * 4, Corrects ? (weights * 4 * 4) + layer : 0) + tape;
    }

    /// <summary>Weights of experts in their files until they are computed with, and as codes once they are done; everything else as floats.</summary>
    public long Paged()
    {
        long resident = 0, codes = 0, expert = 0, layer = 0, width = 0;
        foreach (LinearShape linear in layout.LargestBlock)
        {
            if (Corrects) layer = Math.Max(layer, LayerBytes(linear.OutFeatures, linear.InFeatures));
            if (!linear.IsExpert)
            {
                resident += linear.Weights;
                continue;
            }
            expert = Math.Max(expert, linear.Weights);
            width = Math.Max(width, (long)linear.OutFeatures + linear.InFeatures);
            codes += CodeBytes(linear);
        }
        // Per token: tensors of the width, and for each of its experts input, gate, up, their product and the output before and behind its weight.
        long forward = Corrects ? Math.Max(MeasuredTokens, (long)recipe.Batch * recipe.SequenceLength) * sizeof(float) * ((12L * config.HiddenSize) + (3L * layout.ExpertsPerToken * width)) : 0;
        long copies = Corrects ? CodeCopies : 1;
        return (resident * 4 * 4) + (copies * codes) + (PagedCopies * expert * sizeof(float)) + layer + forward + MappedPagesBytes;
    }

    /// <summary>The least that statistics of experts take: one site at a time.</summary>
    public long LeastStatistics() => !Corrects || !HasExperts ? 0 : layout.LargestBlock.Where(linear => linear.IsExpert).Max(linear => ExpertPool.BytesOf(linear.InFeatures));

    /// <summary>Whether the largest block has experts.</summary>
    public bool HasExperts => layout.LargestBlock.Any(linear => linear.IsExpert);

    // What stays of mapped files: of the checkpoint, and of block files or the result.
    private long MappedPagesBytes => 2 * Math.Min(SafetensorsFile.MostResidentBytes, sizeof(ushort) * layout.LinearWeights);

    /// <summary>Bytes of fitting one layer in double precision.</summary>
    public static long LayerBytes(long outFeatures, long inFeatures) => sizeof(double) * ((LayerMatrices * outFeatures * inFeatures) + (Covariances * inFeatures * inFeatures));

    // A code is a byte, a scale a float; a branch is at most as large as was asked for, and floats in memory.
    private long CodeBytes(LinearShape linear)
    {
        WeightGrid grid = recipe.Scheme.For(linear.Name).Grid;
        long scales = (sizeof(float) + 1) * linear.OutFeatures * (long)grid.ScalesPerRow(linear.InFeatures);
        return linear.Weights + scales + (sizeof(float) * recipe.Method.BranchElements(linear.OutFeatures, linear.InFeatures, recipe.Bits));
    }
}
