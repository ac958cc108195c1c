using LowRankQuant.Formats.Affine;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Runs.Reports;

/// <summary>
/// The size that a model rounded to nearest would have on disk, beside a result of the same recipe: the result's own tensors that belong to no linear, and
/// the linears on the grids of the recipe.
/// </summary>
internal static class RoundedSize
{
    /// <summary>Bytes of the tensor files.</summary>
    /// <param name="output">Folder of the result, in compressed-tensors layout or ours of two-level grids.</param>
    /// <param name="model">The source.</param>
    /// <param name="recipe">What was done, with the grids of the baseline.</param>
    /// <param name="shardBytes">Largest file of tensors.</param>
    public static long Of(string output, CausalModel model, Recipe recipe, long shardBytes)
    {
        using SafetensorsFolder written = SafetensorsFolder.Open(output);
        FolderForm form = FolderForm.Of(model.Checkpoint);
        var tensors = new List<PendingTensor>();
        Scheme scheme = recipe.Scheme;
        // In the result under these names or those of what they are parts of.
        var quantized = new HashSet<string>(StringComparer.Ordinal);
        for (int block = 0; block < model.Config.Layers; block++)
        {
            foreach (IGrouping<string, (string Module, LinearShape Linear, FusedModule? Fused)> stored in model.LinearsOf(block)
                .Select(linear => (Module: $"{model.BlockName(block)}.{linear.Name}", Linear: linear, Fused: form.FusedOf($"{model.BlockName(block)}.{linear.Name}")))
                .GroupBy(part => part.Fused?.Name ?? part.Module, StringComparer.Ordinal))
            {
                quantized.UnionWith(stored.Select(part => part.Module).Append(stored.Key).Select(model.Checkpoint.WrittenName));
                WeightGrid[] grids = [.. stored.Select(part => scheme.For(part.Module).Grid).Distinct()];
                if (grids.Length == 1 && stored.First().Fused is { } fused && stored.Count() == fused.Parts.Count)
                    tensors.AddRange(Linear(model.Checkpoint.WrittenName(fused.Name), fused.OutFeatures, fused.InFeatures, grids[0], recipe.ScaleType));
                else
                    tensors.AddRange(stored.SelectMany(part => Linear(
                        model.Checkpoint.WrittenName(part.Module), part.Linear.OutFeatures, part.Linear.InFeatures, scheme.For(part.Module).Grid, recipe.ScaleType)));
            }
        }
        tensors.AddRange(written.Names.Where(name => !IsOfWeight(name, quantized)).Select(name => PendingTensor.Copy(written, name)));
        return SafetensorsFolderWriter.FileBytes(PendingTensor.ReferenceOrder(tensors), shardBytes);
    }

    // Codes, scales and zero points, whatever the container calls them; biases stay.
    private static bool IsOfWeight(string name, HashSet<string> quantized) =>
        name.LastIndexOf('.') is > 0 and var dot && name.AsSpan(dot + 1).StartsWith("weight") && quantized.Contains(name[..dot]);

    private static List<PendingTensor> Linear(string module, int outFeatures, int inFeatures, WeightGrid grid, ScaleType scaleType) => grid switch
    {
        UniformGrid uniform => CompressedTensorsWriter.PackQuantized(
            module, outFeatures, inFeatures, uniform, scaleType, () => throw new NotSupportedException("Sizes only.")),
        FloatGrid floats => FloatTensors.Write(module, outFeatures, inFeatures, floats, scaleType, () => throw new NotSupportedException("Sizes only.")),
        AffineGrid affine => AffineTensors.Write(module, outFeatures, inFeatures, affine, scaleType, () => throw new NotSupportedException("Sizes only.")),
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
