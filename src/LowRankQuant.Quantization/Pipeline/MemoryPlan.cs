using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Tuning;
using LowRankQuant.Quantization.Vocabulary;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>What a run needs in memory, estimated before it starts, and what remains for activations.</summary>
/// <param name="FixedBytes">Largest sum of weights, parameters and temporary tensors at any time.</param>
/// <param name="ActivationBytes">What the activation streams may take; the rest goes to disk.</param>
/// <param name="StreamBytes">What the activation streams take in all.</param>
public sealed record MemoryPlan(long FixedBytes, long ActivationBytes, long StreamBytes)
{
    // The runtime, code, tokenizer and buffers of files.
    private const long ProcessBytes = 300L << 20;

    // Of a layer that is fitted by itself, in double precision: weight, target, residuals, codes' values and errors; covariance, damped, factors.
    private const long LayerMatrices = 8;
    private const long Covariances = 6;

    /// <summary>Plans a run.</summary>
    /// <param name="config">Sizes of the model.</param>
    /// <param name="layout">Its linears.</param>
    /// <param name="recipe">What is done.</param>
    /// <param name="memory">The user's budget in bytes; null for three quarters of what the machine offers.</param>
    /// <exception cref="OutOfBudgetException">The budget does not even hold one block's work.</exception>
    public static MemoryPlan For(DecoderConfig config, ModelLayout layout, Recipe recipe, long? memory)
    {
        long weights = 0, learned = 0, layer = 0;
        foreach ((_, int outFeatures, int inFeatures) in layout.LargestBlock)
        {
            weights += (long)outFeatures * inFeatures;
            layer = Math.Max(layer, sizeof(double) * ((LayerMatrices * outFeatures * inFeatures) + (Covariances * inFeatures * inFeatures)));
            ScaleShape shape = recipe.Method switch
            {
                QuantizationMethod.FlexRound => new ScaleShape(ScaleForm.Full, 0),
                QuantizationMethod.LrqHybrid => ScaleShape.ReleasedHybridFor(outFeatures, inFeatures),
                _ => ScaleShape.LowRankFor(outFeatures, inFeatures, Math.Max(1, recipe.Rank)),
            };
            learned += shape.ParameterCount(outFeatures, inFeatures);
        }
        bool corrects = recipe.Correction is not null;
        bool trains = corrects ? recipe.Correction!.Residual == ResidualRounding.Lrq : recipe.Method != QuantizationMethod.Rtn;
        long tokens = (long)recipe.Batch * recipe.SequenceLength;
        // Per token: values and gradients of about 12 tensors of the width and 4 of the MLP's.
        long tape = trains ? tokens * 4 * 2 * ((12L * config.HiddenSize) + (4L * config.IntermediateSize)) : 0;
        // Weights twice while they are rounded; in training What, its residue and gradient; parameters with gradient, two moments and two snapshots.
        long block = Math.Max(trains ? (weights * 4 * 5) + (learned * 4 * 6) : weights * 4 * 4, corrects ? (weights * 4 * 4) + layer : 0);
        long embedding = (long)config.VocabularySize * config.HiddenSize * 4;
        long fixedBytes = ProcessBytes + Math.Max(block + tape, Math.Max(embedding, Vocabulary(layout, recipe, trains || corrects)));
        long streams = trains || corrects ? (corrects ? 3L : 2L) * (recipe.Samples + recipe.HeldOut) * recipe.SequenceLength * config.HiddenSize * 4 : 0;
        long budget = memory ?? (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 * 3);
        if (recipe.Tuning is { } tuning)
        {
            TuningMemory needs = TuningMemory.For(config, layout, recipe, tuning);
            long whole = ProcessBytes + needs.FixedBytes;
            if (whole > budget && fixedBytes <= budget)
                throw new OutOfBudgetException($"Tuning the whole model needs about {Text(whole)} and the memory budget is {Text(budget)}; give more with --memory, or leave it out with --tune-steps 0.");
            fixedBytes = Math.Max(fixedBytes, whole);
            streams = Math.Max(streams, needs.StreamBytes);
        }
        if (fixedBytes > budget)
            throw new OutOfBudgetException($"One block needs about {Text(fixedBytes)} and the memory budget is {Text(budget)}; give more with --memory, or use a smaller --batch, --sequence-length or --rank.");
        return new MemoryPlan(fixedBytes, budget - fixedBytes, streams);
    }

    // Embedding or head while it is quantized: floats twice (as it was, as it is read back), codes; and some rows of a head in double precision.
    private static long Vocabulary(ModelLayout layout, Recipe recipe, bool looksAtInputs)
    {
        if (recipe.Vocabulary is not { } vocabulary || layout.Vocabulary is not { } shape) return 0;
        long weights = (long)shape.Rows * shape.Width, rows = Math.Min(shape.Rows, HeadRounding.RowsAtOnce);
        long fit = looksAtInputs && vocabulary.Head is not null ? sizeof(double) * ((LayerMatrices * rows * shape.Width) + (Covariances * shape.Width * shape.Width)) : 0;
        return (((2 * sizeof(float)) + 2) * weights) + fit;
    }

    /// <summary>One line for people.</summary>
    public string Describe() => StreamBytes == 0
        ? $"memory: about {Text(FixedBytes)} at most"
        : $"memory: about {Text(FixedBytes)} for a block, {Text(StreamBytes)} of activations {(StreamBytes <= ActivationBytes ? "in memory" : $"of which {Text(ActivationBytes)} in memory, the rest on disk")}";

    private static string Text(long bytes) => bytes >= 1 << 30
        ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 30):F1} GiB")
        : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 20):F0} MiB");
}
