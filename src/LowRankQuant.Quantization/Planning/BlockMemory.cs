using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What the largest block of a model takes while it is worked on, in bytes: whole, expert by expert, or linear by linear.</summary>
/// <param name="config">Sizes of the model.</param>
/// <param name="layout">Its linears.</param>
/// <param name="recipe">What is done.</param>
internal sealed class BlockMemory(DecoderConfig config, ModelLayout layout, Recipe recipe)
{
    // Of a linear that is paged: floats on the device, a copy to round, the result; the collector has as much again to come back for.
    private const long PagedCopies = 6;

    // Of one that is computed with: floats on the device, and what they were made of.
    private const long PassingCopies = 2;

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
        Scheme scheme = recipe.Scheme;
        foreach ((string name, int outFeatures, int inFeatures) in layout.LargestBlock)
        {
            weights += (long)outFeatures * inFeatures;
            layer = Math.Max(layer, recipe.Method.FitMemory.BytesOf(outFeatures, inFeatures));
            learned += recipe.Method.LearnedParameters(outFeatures, inFeatures, scheme.For(name).Grid);
        }
        long tokens = (long)recipe.Batch * recipe.SequenceLength;
        long tape = recipe.Method.Training is { } training ? TapeMemory.Bytes(config, layout, recipe, tokens, training.Inside) : 0;
        long metric = recipe.Loss == LossWeighting.Fisher ? sizeof(float) * (long)config.HiddenSize * config.HiddenSize : 0;
        // Weights twice while they are rounded; in training What, its residue and gradient; parameters with gradient, two moments and two snapshots.
        return Math.Max(2 * metric * config.Layers, Math.Max(Trains ? (weights * 4 * 5) + (learned * 4 * 6) + metric : weights * 4 * 4, Corrects ? (weights * 4 * 4) + Math.Max(layer, LeastStatistics()) : 0)) + tape + Kept(_ => true);
    }

    /// <summary>Some weights in their files until they are computed with, and as codes once they are done; everything else as floats.</summary>
    /// <param name="paging">Which.</param>
    public long Paged(WeightPaging paging)
    {
        long resident = 0, codes = 0, paged = 0, layer = 0, width = 0, kept = Kept(linear => linear.KeptByDefault || (paging == WeightPaging.Experts && !linear.IsExpert));
        foreach (LinearShape linear in layout.LargestBlock)
        {
            if (Corrects) layer = Math.Max(layer, recipe.Method.FitMemory.BytesOf(linear.OutFeatures, linear.InFeatures));
            if (paging == WeightPaging.Experts && !linear.IsExpert)
            {
                resident += linear.Weights;
                continue;
            }
            paged = Math.Max(paged, linear.Weights);
            width = Math.Max(width, (long)linear.OutFeatures + linear.InFeatures);
            codes += CodeBytes(linear);
        }
        long copies = Corrects ? CodeCopies : 1;
        long held = (resident * 4 * 4) + kept + (copies * codes) + MappedPagesBytes;
        if (!Corrects) return held + (PagedCopies * paged * sizeof(float));
        // Per token: tensors of the width, and for each of its experts, or of one MLP, input, gate, up, their product and the output before and behind its weight.
        long tokens = Math.Max(MeasuredTokens, (long)recipe.Batch * recipe.SequenceLength);
        long forward = tokens * sizeof(float) * ((12L * config.HiddenSize) + (3L * Math.Max(1, layout.ExpertsPerToken) * width));
        if (paging == WeightPaging.Experts) return held + (PagedCopies * paged * sizeof(float)) + layer + forward;
        // Statistics are taken while windows pass; then the layers of their input are fitted.
        return held + Math.Max((paged * sizeof(float)) + layer, forward + (PassingCopies * paged * sizeof(float)) + LeastStatistics());
    }

    /// <summary>The least that statistics of experts take, beside the block's work: one site at a time.</summary>
    public long ExpertStatistics() => !Corrects || !HasExperts ? 0 : layout.LargestBlock.Where(linear => linear.IsExpert).Max(linear => ExpertPool.BytesOf(linear.InFeatures));

    /// <summary>The least that statistics of inputs that all tokens share take: one site at a time.</summary>
    public long LeastStatistics() => !Corrects ? 0 : layout.LargestBlock.Where(linear => !linear.IsExpert).Select(linear => SecondMoments.BytesOf(linear.InFeatures)).DefaultIfEmpty().Max();

    /// <summary>What statistics of all those inputs take together, as if none were shared.</summary>
    public long AllStatistics() => !Corrects ? 0 : layout.LargestBlock.Where(linear => !linear.IsExpert).Sum(linear => SecondMoments.BytesOf(linear.InFeatures));

    /// <summary>Whether the largest block has experts.</summary>
    public bool HasExperts => layout.LargestBlock.Any(linear => linear.IsExpert);

    // Floats that stay in their own type, of the block that has most of them in memory.
    private long Kept(Func<LinearShape, bool> isInMemory) => sizeof(float) * layout.Kept.Select(block => block.Where(isInMemory).Sum(linear => linear.Weights)).DefaultIfEmpty().Max();

    // What stays of mapped files: of the checkpoint, and of block files or the result.
    private long MappedPagesBytes => 2 * Math.Min(SafetensorsFile.MostResidentBytes, sizeof(ushort) * layout.LinearWeights);

    // A code is a byte, a scale a float; a branch is at most as large as was asked for, and floats in memory.
    private long CodeBytes(LinearShape linear)
    {
        WeightGrid grid = recipe.Scheme.For(linear.Name).Grid;
        long scales = (sizeof(float) + 1) * linear.OutFeatures * (long)grid.ScalesPerRow(linear.InFeatures);
        return linear.Weights + scales + (sizeof(float) * recipe.Method.BranchElements(linear.OutFeatures, linear.InFeatures, recipe.Bits));
    }
}
