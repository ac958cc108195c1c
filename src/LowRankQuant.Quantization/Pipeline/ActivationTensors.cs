using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// Linears with quantized inputs, and quantized caches, as a compressed-tensors checkpoint holds them: floats as their grid says it, 8-bit weights one code a byte (<c>int-quantized</c>), narrower ones packed
/// (<c>pack-quantized</c>), both with the grid of their inputs; steps of static inputs as <c>input_scale</c> and <c>input_zero_point</c>, of caches as <c>k_scale</c>,
/// <c>v_scale</c> and their zero points beside the projections.
/// </summary>
/// <param name="model">The source, changed tensors included.</param>
/// <param name="recipe">What was done.</param>
/// <param name="folder">The run.</param>
/// <param name="store">Reads finished blocks.</param>
internal sealed class ActivationTensors(CausalModel model, Recipe recipe, RunFolder folder, CompressedBlockStore store)
{
    private const int ByteBits = 8;
    private const string Packed = "pack-quantized";
    private readonly FolderForm _form = FolderForm.Of(model.Checkpoint);

    /// <summary>Whether the inputs of a module are quantized.</summary>
    public bool Has(string module) => recipe.Activations is not null && model.Architecture.BlockOf(module) is not null;

    /// <summary>A module for the configuration.</summary>
    /// <param name="written">Its name in the result.</param>
    /// <param name="module">Its own name, or that of the one that holds it.</param>
    /// <param name="grid">Grid of its weight.</param>
    public QuantizedModule Described(string written, string module, WeightGrid grid) => new(written, grid, InputArgs(module), AskedFormat: grid is UniformGrid { Bits: < ByteBits } ? Packed : null);

    /// <summary>The arguments of a cache; null where none is stored.</summary>
    public static QuantizationArgs? CacheArgs(CacheRecipe? cache) => cache is not { IsStorable: true } ? null
        : new QuantizationArgs(cache.Grid.Bits, "int", cache.Grid.Symmetric, cache.Grid.IsPerHead ? QuantizationStrategy.AttnHead : QuantizationStrategy.Tensor);

    /// <summary>The tensors of all linears of a block.</summary>
    /// <param name="file">The block file.</param>
    /// <param name="index">The block.</param>
    /// <param name="join">Gives linears that the family stores together as one.</param>
    public IEnumerable<PendingTensor> Linears(SafetensorsFile file, int index, Func<SafetensorsFile, FusedModule, QuantizedWeight> join)
    {
        string block = model.BlockName(index);
        using SafetensorsFile prepared = SafetensorsFile.Open(folder.PreparedFile(index));
        foreach (IGrouping<string, (LinearShape Linear, FusedModule? Fused)> stored in model.LinearsOf(index)
            .Select(linear => (Linear: linear, Fused: _form.FusedOf($"{block}.{linear.Name}"))).GroupBy(part => part.Fused?.Name ?? $"{block}.{part.Linear.Name}", StringComparer.Ordinal))
        {
            (LinearShape linear, FusedModule? fused) = stored.First();
            bool whole = fused is not null && stored.Count() == fused.Parts.Count && stored.Select(part => store.GridOf(block, part.Linear.Name)).Distinct().ToArray() is [{ SharesScalesBetweenRows: false }];
            foreach ((LinearShape part, FusedModule? _) in whole ? stored.Take(1) : stored)
            {
                string module = whole ? fused!.Name : $"{block}.{part.Name}";
                WeightGrid grid = store.GridOf(block, part.Name);
                QuantizedWeight Load() => whole ? join(file, fused!) : store.ReadOne(file, block, part.Name);
                int rows = whole ? fused!.OutFeatures : part.OutFeatures, columns = whole ? fused!.InFeatures : part.InFeatures;
                IEnumerable<PendingTensor> weight = grid switch
                {
                    FloatGrid floats => FloatTensors.Write(module, rows, columns, floats, recipe.ScaleType, () => (FloatWeight)Load()),
                    UniformGrid { Bits: < ByteBits } packed => CompressedTensorsWriter.PackQuantized(module, rows, columns, packed, recipe.ScaleType, () => (UniformWeight)Load()),
                    _ => CompressedTensorsWriter.IntQuantized(module, rows, columns, (UniformGrid)grid, recipe.ScaleType, () => (UniformWeight)Load()),
                };
                foreach (PendingTensor tensor in weight.Concat(Steps(prepared, $"input.{part.Name}", $"{module}.input", 1))) yield return tensor;
            }
        }
    }

    /// <summary>The static steps of a block's keys and values; nothing where none are stored.</summary>
    public IEnumerable<PendingTensor> Caches(int index)
    {
        if (recipe.Cache is not { IsStorable: true } cache) yield break;
        string first = model.Layout.AllLinears[index][0].Name, attention = $"{model.BlockName(index)}.{first[..Math.Max(0, first.LastIndexOf('.'))]}";
        using SafetensorsFile prepared = SafetensorsFile.Open(folder.PreparedFile(index));
        for (int i = 0; prepared.Contains($"cache.{i}.scale"); i++)
        {
            // Keys come before values.
            foreach (PendingTensor tensor in Steps(prepared, $"cache.{i}", $"{attention}.{(i == 0 ? "k" : "v")}", cache.Grid.IsPerHead ? 3 : 1)) yield return tensor;
        }
    }

    private IEnumerable<PendingTensor> Steps(SafetensorsFile prepared, string kept, string name, int dimensions)
    {
        if (!prepared.Contains($"{kept}.scale")) yield break;
        float[] steps = Values(prepared, $"{kept}.scale");
        long[] shape = [steps.Length, .. Enumerable.Repeat(1L, dimensions - 1)];
        yield return PendingTensor.FromSingles($"{name}_scale", recipe.ScaleType.ToSafetensors(), shape, steps);
        if (!prepared.Contains($"{kept}.zero_point")) yield break;
        sbyte[] zeros = [.. Values(prepared, $"{kept}.zero_point").Select(zero => (sbyte)zero)];
        yield return new PendingTensor($"{name}_zero_point", SafetensorsType.I8, shape, sink => sink.Write<sbyte>(zeros));
    }

    // Of linears that are stored together the first tells; they share their input.
    private QuantizationArgs InputArgs(string module)
    {
        int index = model.Architecture.BlockOf(module)!.Value;
        string block = model.BlockName(index);
        string linear = model.LinearsOf(index).Select(shape => shape.Name).First(name => $"{block}.{name}" == module || _form.FusedOf($"{block}.{name}")?.Name == module);
        ActivationRecipe activations = recipe.Activations!;
        using SafetensorsFile prepared = SafetensorsFile.Open(folder.PreparedFile(index));
        return QuantizationArgs.FromGrid(prepared.Contains($"input.{linear}.scale") ? activations.Grid : activations.TokenGrid);
    }

    private static float[] Values(SafetensorsFile file, string name)
    {
        var values = new float[file.ShapeOf(name)[0]];
        file.ReadSingles(name, values);
        return values;
    }
}
