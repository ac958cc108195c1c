using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>
/// AWQ (GEMM): 4 bits with stored zero points in groups of 32, 64 or 128, one size for all linears. A row or a larger group repeats its scale, a
/// symmetric grid gets zero point 8.
/// </summary>
public sealed class AwqExporter : FolderExporter
{
    private static readonly EngineRules Rules = EngineTable.AutoAwq;

    /// <inheritdoc/>
    public override string Name => AwqConfig.QuantMethod;

    /// <inheritdoc/>
    protected override ScaleType DenseType(ExportSource source) => ScaleType.Float16;

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> ModelMisfits(ExportSource source, ExportOptions options)
    {
        if (source.HeadIsQuantized) yield return new Misfit(source.Head, "it is quantized, and AWQ loaders keep it dense", "export `to` compressed-tensors");
        foreach (Misfit misfit in TableMisfits(source, "AWQ loaders")) yield return misfit;
        if (GroupSize(source) == 0)
        {
            string sizes = string.Join(", ", source.StoredLinears.Select(linear => linear.EffectiveGroupSize).Distinct().Order());
            yield return new Misfit(
                "groups", $"scales are shared by {sizes} inputs, and AWQ has groups of {EngineRules.Words(Rules.GroupSizes)}, one size for all",
                $"quantize again with `group_size` {EngineRules.Words(Rules.GroupSizes)}");
        }
    }

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> LinearMisfits(ExportLinear linear, UniformWeight weight, ExportOptions options)
    {
        if (linear.Grid.Bits != AwqLayout.Bits)
            yield return new Misfit(linear.Module, $"{linear.Grid.Bits} bits, and AWQ has 4", "quantize again with `bits` 4");
        if (linear.Ordered) yield return OrderMisfit(linear);
        if (linear.OutFeatures % Rules.OutputTile != 0)
            yield return new Misfit(linear.Module, $"{linear.OutFeatures} outputs are no multiple of {Rules.OutputTile}", "export `to` compressed-tensors");
        if (!StoredGrid.Fits(weight, ScaleType.Float16)) yield return ScaleMisfit(linear, ScaleType.Float16);
    }

    /// <inheritdoc/>
    protected override IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportLinear linear, ExportOptions options)
    {
        UniformGrid grid = new AwqLayout(GroupSize(source)).Grid;
        return AwqWriter.Tensors(new PendingWeight(
            linear.Module, linear.OutFeatures, linear.InFeatures, grid, ScaleType.Float16, () => StoredGrid.Put(source.Load(linear).Weight, grid, ScaleType.Float16)));
    }

    /// <inheritdoc/>
    protected override void WriteConfig(ExportSource source, ExportOptions options, JsonObject config, string folder)
    {
        JsonObject quantization = AwqConfig.Build(GroupSize(source));
        if (DenseModules(source) is { Count: > 0 } dense)
            quantization["modules_to_not_convert"] = new JsonArray([.. dense.Append(source.Checkpoint.WrittenName(source.Head)).Select(module => (JsonNode)module)]);
        ModelConfigFile.Write(Path.Combine(folder, ModelConfigFile.QuantizeName), quantization);
        config["quantization_config"] = quantization.DeepClone();
    }

    private static int GroupSize(ExportSource source) =>
        Rules.GroupSizes.Where(size => source.StoredLinears.All(linear => linear.EffectiveGroupSize % size == 0)).DefaultIfEmpty(0).Max();
}
