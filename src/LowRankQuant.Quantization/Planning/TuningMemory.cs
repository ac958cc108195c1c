using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Tuning;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What tuning needs, estimated before a run starts.</summary>
/// <param name="FixedBytes">Memory for parameters, one block's weights and tape, embedding, head and logits.</param>
/// <param name="StreamBytes">Activations, which go to disk where the memory ends.</param>
/// <param name="KeptBytes">Blocks that are kept from the forward pass of a step to the backward pass behind it, where memory allows.</param>
/// <param name="Parameters">Numbers that are learned.</param>
internal readonly record struct TuningMemory(long FixedBytes, long StreamBytes, long KeptBytes, long Parameters)
{
    // Values, gradients, two moments, the best so far.
    private const long Copies = 5;

    // Of a block: its weights as loaded, codes as floats, tuned weights, their gradients.
    private const long BlockMatrices = 4;

    // Logits of the model, of full precision, and a gradient.
    private const long LogitMatrices = 3;

    /// <summary>Plans tuning.</summary>
    public static TuningMemory For(
        DecoderConfig config, ModelLayout layout, Recipe recipe, TuningRecipe tuning)
    {
        long parameters = 0, all = 0, length = recipe.SequenceLength, weights = layout.LargestBlock.Sum(linear => (long)linear.OutFeatures * linear.InFeatures);
        foreach ((string name, int outFeatures, int inFeatures) in layout.Modules)
        {
            all += (long)outFeatures * inFeatures;
            parameters += ((long)outFeatures * recipe.Scheme.For(name).Grid.ScalesPerRow(inFeatures)) + recipe.Methods.Max(method => method.BranchElements(outFeatures, inFeatures, recipe.Bits));
            if (tuning.CodeRate is > 0 && recipe.Scheme.For(name).Grid is UniformGrid) parameters += (long)outFeatures * inFeatures;
        }
        long hidden = config.HiddenSize, table = config.VocabularySize * hidden;
        long floats = (parameters * Copies) + (weights * BlockMatrices) + (2 * table) + (LogitMatrices * TuningLoss.HeadRows(config.VocabularySize) * config.VocabularySize);
        // What full precision says about every window, and the inputs of all blocks for the windows of a step.
        long states = (Math.Max(recipe.Samples, tuning.Samples) + recipe.HeldOut + ((config.Layers + 1L) * tuning.Batch)) * length * hidden;
        return new TuningMemory((floats * sizeof(float)) + TapeMemory.Bytes(config, layout, recipe, length, quantized: true), states * sizeof(float), BlockShelf.BytesOf(all), parameters);
    }
}
