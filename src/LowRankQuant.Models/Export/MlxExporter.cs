using System.Text.Json.Nodes;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Mlx;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>
/// MLX: groups of 32, 64 or 128 with bias = -s z, which must be exact in the type of the scales (symmetric grids always are; with fp16 scales of 7
/// significant bits every 4-bit grid is). A row or a larger group repeats its scale.
/// </summary>
public sealed class MlxExporter : FolderExporter
{
    private static readonly EngineRules Rules = EngineTable.Mlx;

    /// <inheritdoc/>
    public override string Name => "mlx";

    /// <inheritdoc/>
    public override IReadOnlyList<ExportAdapter> Adapters => [];

    /// <inheritdoc/>
    protected override IReadOnlyDictionary<string, string> Metadata => MlxWriter.Metadata;

    /// <inheritdoc/>
    protected override ScaleType DenseType(ExportSource source) => source.StoredLinears[0].ScaleType;

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> ModelMisfits(ExportSource source, ExportOptions options)
    {
        ScaleType common = DenseType(source);
        foreach (ExportLinear linear in source.StoredLinears.Where(linear => linear.ScaleType != common))
            yield return new Misfit(linear.Module, $"{linear.ScaleType} scales where others have {common}", "quantize again with one `scale_dtype`");
    }

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> LinearMisfits(ExportLinear linear, UniformWeight weight, ExportOptions options)
    {
        if (linear.Ordered) yield return OrderMisfit(linear);
        if (!Rules.Widths.Contains(linear.Grid.Bits))
            yield return new Misfit(linear.Module, $"{linear.Grid.Bits} bits, which MLX lacks", "quantize again with `bits` 6 or 8");
        if (GroupSize(linear) == 0)
            yield return new Misfit(
                linear.Module, $"scales are shared by {linear.EffectiveGroupSize} inputs, and MLX has groups of {EngineRules.Words(Rules.GroupSizes, "and")}",
                $"quantize again with `group_size` {EngineRules.Words(Rules.GroupSizes)}");
        else if (MlxWeight.FromGrid(StoredGrid.Put(weight, Grid(linear), linear.ScaleType)) is null)
            yield return new Misfit(
                linear.Module, $"a bias -s z has more digits than {linear.ScaleType}", "quantize again with `symmetric`, whose biases are exact");
    }

    /// <inheritdoc/>
    protected override IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportLinear linear, ExportOptions options) => MlxWriter.Tensors(
        linear.Module, linear.OutFeatures, linear.InFeatures, Layout(linear), linear.ScaleType,
        () => MlxWeight.FromGrid(StoredGrid.Put(source.Load(linear).Weight, Grid(linear), linear.ScaleType))!);

    /// <inheritdoc/>
    protected override void WriteConfig(ExportSource source, ExportOptions options, JsonObject config, string folder)
    {
        MlxLayout common = source.StoredLinears.GroupBy(Layout).MaxBy(group => group.Count())!.Key;
        IEnumerable<ExportLinear> others = source.StoredLinears.Where(linear => Layout(linear) != common);
        JsonObject quantization = MlxConfig.Build(
            common, others.Select(linear => KeyValuePair.Create(source.Checkpoint.WrittenName(linear.Module), Layout(linear))),
            DenseLinears(source));
        config[MlxConfig.Key] = quantization;
        config["quantization_config"] = quantization.DeepClone();
    }

    private static int GroupSize(ExportLinear linear) => StoredGrid.GroupSize(linear.EffectiveGroupSize, Rules.GroupSizes);

    private static MlxLayout Layout(ExportLinear linear) => new(linear.Grid.Bits, GroupSize(linear));

    private static UniformGrid Grid(ExportLinear linear) => new(linear.Grid.Bits, linear.Grid.Symmetric, Granularity.Group, GroupSize(linear));
}
