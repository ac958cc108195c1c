using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>
/// The size that a model rounded to nearest would have on disk, beside a result of the same recipe: the result's own tensors that belong to no linear, and
/// the linears on the grids of the recipe.
/// </summary>
internal static class RoundedSize
{
    /// <summary>Bytes of the tensor files.</summary>
    /// <param name="output">Folder of the result, in compressed-tensors layout or ours of two-level grids.</param>
    /// <param name="model">The source.</param>
    /// <param name="recipe">What was done.</param>
    /// <param name="shardBytes">Largest file of tensors.</param>
    public static long Of(string output, CausalModel model, Recipe recipe, long shardBytes)
    {
        using SafetensorsFolder written = SafetensorsFolder.Open(output);
        var tensors = new List<PendingTensor>();
        var modules = new List<string>();
        for (int block = 0; block < model.Config.Layers; block++)
        {
            foreach ((string linear, int outFeatures, int inFeatures) in model.LinearsOf(block))
            {
                string module = $"{model.BlockName(block)}.{linear}";
                modules.Add(module + ".");
                tensors.AddRange(Linear(module, outFeatures, inFeatures, recipe.Scheme.For(linear).Grid, recipe.ScaleType));
            }
        }
        foreach (string name in written.Names)
        {
            if (!modules.Exists(module => name.StartsWith(module, StringComparison.Ordinal))) tensors.Add(PendingTensor.Copy(written, name));
        }
        return SafetensorsFolderWriter.FileBytes(PendingTensor.ReferenceOrder(tensors), shardBytes);
    }

    private static List<PendingTensor> Linear(string module, int outFeatures, int inFeatures, WeightGrid grid, ScaleType scaleType) => grid switch
    {
        UniformGrid uniform => CompressedTensorsWriter.PackQuantized(
            module, outFeatures, inFeatures, uniform, scaleType, () => throw new NotSupportedException("Sizes only.")),
        TwoLevelGrid twoLevel => TwoLevelTensors.Write(module, Empty(outFeatures, inFeatures, twoLevel)),
        _ => throw new ArgumentOutOfRangeException(nameof(grid), grid, "Unknown grid."),
    };

    private static TwoLevelWeight Empty(int outFeatures, int inFeatures, TwoLevelGrid grid)
    {
        int blocks = outFeatures * grid.ScalesPerRow(inFeatures), groups = outFeatures * grid.GroupsPerRow(inFeatures);
        return new TwoLevelWeight(outFeatures, inFeatures, grid, new byte[outFeatures * inFeatures], new TwoLevelScales(
            new Half[blocks], new sbyte[groups], grid.Symmetric ? null : new Half[blocks], grid.Symmetric ? null : new byte[groups]));
    }
}
