using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Runs.Measuring;

/// <summary>
/// Whether the result of a run computes the very same as its baseline, so that one measurement serves both. Nothing is taken for granted: configurations, weights as they are
/// computed with, and all other tensors are compared, bit by bit; whatever is not known to be equal is not.
/// </summary>
/// <param name="model">The source.</param>
/// <param name="result">What was written.</param>
/// <param name="recipe">What was done.</param>
internal sealed class RoundedResult(CausalModel model, CausalModel result, Recipe recipe)
{
    /// <summary>Compares.</summary>
    /// <param name="rounded">Gives the baseline's block of a number; the caller's.</param>
    /// <param name="budget">Bytes that two blocks may take.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public bool EqualsBaseline(Func<int, IDecoderBlock> rounded, long budget, CancellationToken cancellation)
    {
        if (!MayEqual(recipe) || !SameConfiguration()) return false;
        if (2 * sizeof(float) * model.Layout.LargestBlock.Sum(linear => linear.Weights) > budget) return false;
        if (!SameTensors() || !SameVocabulary()) return false;
        for (int i = 0; i < model.Config.Layers; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            using IDecoderBlock own = rounded(i), other = result.LoadBlock(i);
            Dictionary<string, LinearSlot> stored = other.Slots.Concat(other.Kept).ToDictionary(slot => slot.Name, StringComparer.Ordinal);
            if (!own.Slots.All(slot => stored.TryGetValue(slot.Name, out LinearSlot? twin) && SameValues(slot, twin))) return false;
        }
        return true;
    }

    /// <summary>
    /// Whether it is worth a look: nothing but round to nearest on the range of the weights, as the baseline is; no inputs or keys that are rounded too, and no tensor that is changed
    /// beside the linears.
    /// </summary>
    public static bool MayEqual(Recipe recipe) =>
        recipe.Methods.All(method => method.RoundsToNearest && method.Start == GridStart.MinMax)
        && recipe is { Activations: null, Cache: null, Vocabulary: null, Tuning: null, Transforms.Count: 0 };

    // Of another container the same numbers may mean something else; a branch beside the result makes it an adapted one.
    private bool SameConfiguration() =>
        model.Checkpoint is HuggingFaceCheckpoint { Quantizers: null } && result.Checkpoint is HuggingFaceCheckpoint { Quantizers: null }
        && JsonNode.DeepEquals(ModelConfigFile.For(model.Checkpoint, SafetensorsType.F32), ModelConfigFile.For(result.Checkpoint, SafetensorsType.F32));

    private bool SameTensors()
    {
        HashSet<string> linears = [.. model.Modules.Select(module => module.Name + ".weight")];
        return model.Layout.Tensors.Where(tensor => !linears.Contains(tensor.Name)).All(tensor => SameBits(Read(model, tensor), Read(result, tensor)));
    }

    private bool SameVocabulary()
    {
        if (model.Layout.Vocabulary is not { } vocabulary) return false;
        return new[] { vocabulary.Embedding, vocabulary.Head }.Take(vocabulary.Tied ? 1 : 2).All(module =>
        {
            using Tensor own = model.LoadVocabulary(module), other = result.LoadVocabulary(module);
            return SameBits(own.ToArray(), other.ToArray());
        });
    }

    private static float[] Read(CausalModel of, TensorSpec tensor)
    {
        var values = new float[tensor.Shape.Aggregate(1L, (product, size) => product * size)];
        of.Checkpoint.Read(tensor.Name, values);
        return values;
    }

    private static bool SameValues(LinearSlot own, LinearSlot other) =>
        own.Name == other.Name && own.Weight is IValueSource && other.Weight is IValueSource && SameBits(own.WeightValues(), other.WeightValues());

    private static bool SameBits(float[] own, float[] other) => MemoryMarshal.Cast<float, int>(own).SequenceEqual(MemoryMarshal.Cast<float, int>(other));
}
