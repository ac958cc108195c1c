using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>GPTQ: v1 for symmetric grids of 2, 4 and 8 bits, v2 for asymmetric ones and for 3 bits. One grid for all linears.</summary>
public sealed class GptqExporter : FolderExporter
{
    private static readonly EngineRules Rules = EngineTable.GptqModel;

    /// <inheritdoc/>
    public override string Name => GptqConfig.QuantMethod;

    /// <inheritdoc/>
    protected override ScaleType DenseType(ExportSource source) => ScaleType.Float16;

    /// <inheritdoc/>
    public override IReadOnlyList<string> FindWarnings(ExportSource source, ExportOptions options)
    {
        UniformGrid grid = Stored(source.StoredLinears[0]);
        return grid.Symmetric || Form(grid, options) != GptqZeroPoints.MinusOne
            ? []
            : [$"{Rules.Engine} refuses v1 with sym false (seen with {Rules}); vLLM's gptq kernel reads it. For {Rules.Engine} write v2 (`gptq_format` v2)."];
    }

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> ModelMisfits(ExportSource source, ExportOptions options)
    {
        UniformGrid common = Stored(source.StoredLinears[0]);
        foreach (Misfit misfit in TableMisfits(source, "GPTQ loaders")) yield return misfit;
        foreach (ExportLinear linear in source.StoredLinears.Where(linear => Stored(linear) != common && !linear.IsTable))
            yield return new Misfit(
                linear.Module, $"it has {linear.Grid}, the others {common}, and the configuration has room for one",
                "export `to` compressed-tensors, or quantize with `widths` fixed");
    }

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> LinearMisfits(ExportLinear linear, UniformWeight weight, ExportOptions options)
    {
        int bits = linear.Grid.Bits;
        if (!Rules.Widths.Contains(bits))
            yield return new Misfit(linear.Module, $"{bits} bits, and GPTQ has {EngineRules.Words(Rules.Widths, "and")}", $"quantize again with `bits` {(bits < 8 && bits > 4 ? 8 : 4)}");
        if (linear.InFeatures % Rules.InputTile != 0 || linear.OutFeatures % Rules.OutputTile != 0)
            yield return new Misfit(
                linear.Module, $"[{linear.OutFeatures}, {linear.InFeatures}] is not made of runs of {Rules.OutputTile}", "export `to` compressed-tensors");
        if (!StoredGrid.Fits(weight, ScaleType.Float16)) yield return ScaleMisfit(linear, ScaleType.Float16);
        if (Form(linear.Grid, options) == GptqZeroPoints.MinusOne && weight.ZeroPoints?.Contains((byte)0) == true)
            yield return new Misfit(linear.Module, "a zero point is 0, which v1 cannot say", "write v2 (`gptq_format` v2)");
    }

    /// <inheritdoc/>
    protected override IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportLinear linear, ExportOptions options)
    {
        UniformGrid grid = Stored(linear);
        var weight = new PendingWeight(
            linear.Module, linear.OutFeatures, linear.InFeatures, grid, ScaleType.Float16, () => StoredGrid.Put(source.Load(linear).Weight, grid, ScaleType.Float16));
        return GptqWriter.Tensors(weight, Form(grid, options), columns: linear.Ordered ? source.Load(linear).Columns : null);
    }

    /// <inheritdoc/>
    protected override void WriteConfig(ExportSource source, ExportOptions options, JsonObject config, string folder)
    {
        UniformGrid grid = Stored(source.StoredLinears[0]);
        JsonObject quantization = GptqConfig.Build(grid, Form(grid, options), source.StoredLinears.Any(linear => linear.Ordered), source.HeadIsQuantized, options.Version);
        if (DenseModules(source) is { Count: > 0 } dense)
        {
            // gptqmodel and vLLM: "-:" and a pattern leave modules dense.
            quantization["dynamic"] = new JsonObject(dense.Select(module =>
                KeyValuePair.Create($"-:^{System.Text.RegularExpressions.Regex.Escape(module)}$", (JsonNode?)new JsonObject())));
        }
        ModelConfigFile.Write(Path.Combine(folder, ModelConfigFile.QuantizeName), quantization);
        config["quantization_config"] = quantization.DeepClone();
    }

    private static UniformGrid Stored(ExportLinear linear) =>
        linear.Grid.Granularity == Granularity.Tensor ? linear.Grid with { Granularity = Granularity.Channel } : linear.Grid;

    private static GptqZeroPoints Form(UniformGrid grid, ExportOptions options) =>
        options.GptqZeroPoints ?? (grid.Symmetric && grid.Bits != 3 ? GptqZeroPoints.MinusOne : GptqZeroPoints.AsTheyAre);
}
