using System.Text.Json.Nodes;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Mlx;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>
/// MLX: groups of 32, 64 or 128 with bias = -s z, which must be exact in the type of the scales (symmetric grids always are; with fp16 scales of 7
/// significant bits every 4-bit grid is). Float minima are biases as they are. A row or a larger group repeats its scale.
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
    protected override bool HoldsMinima => true;

    /// <inheritdoc/>
    protected override ScaleType DenseType(ExportSource source) => source.StoredLinears.Count > 0 ? source.StoredLinears[0].ScaleType : source.StoredAffine[0].ScaleType;

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> ModelMisfits(ExportSource source, ExportOptions options)
    {
        ScaleType common = DenseType(source);
        IEnumerable<(string Module, ScaleType ScaleType)> all =
            [.. source.StoredLinears.Select(linear => (linear.Module, linear.ScaleType)), .. source.StoredAffine.Select(linear => (linear.Module, linear.ScaleType))];
        foreach ((string module, ScaleType type) in all.Where(linear => linear.ScaleType != common))
            yield return new Misfit(module, $"{type} scales where others have {common}", "quantize again with one `scale_dtype`");
    }

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> LinearMisfits(ExportLinear linear, UniformWeight weight, ExportOptions options)
    {
        if (linear.Ordered) yield return OrderMisfit(linear);
        foreach (Misfit misfit in Shape(linear.Module, linear.Grid, linear.EffectiveGroupSize)) yield return misfit;
        if (GroupSize(linear) > 0 && MlxWeight.FromGrid(StoredGrid.Put(weight, Grid(linear), linear.ScaleType)) is null)
            yield return new Misfit(
                linear.Module, $"a bias -s z has more digits than {linear.ScaleType}", "quantize again with `symmetric`, whose biases are exact");
    }

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> LinearMisfits(ExportAffine linear) => Shape(linear.Module, linear.Grid, linear.Grid.GroupSize);

    /// <inheritdoc/>
    protected override IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportLinear linear, ExportOptions options) => MlxWriter.Tensors(
        linear.Module, linear.OutFeatures, linear.InFeatures, Layout(linear), linear.ScaleType,
        () => MlxWeight.FromGrid(StoredGrid.Put(source.Load(linear).Weight, Grid(linear), linear.ScaleType))!);

    /// <inheritdoc/>
    protected override IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportAffine linear) => MlxWriter.Tensors(
        linear.Module, linear.OutFeatures, linear.InFeatures, Layout(linear), linear.ScaleType, () => MlxWeight.FromAffine(source.Load(linear).InGroupsOf(Layout(linear).GroupSize)));

    /// <inheritdoc/>
    protected override void WriteConfig(ExportSource source, ExportOptions options, JsonObject config, string folder)
    {
        (string Module, MlxLayout Layout)[] layouts = [.. source.StoredLinears.Select(linear => (linear.Module, Layout(linear))), .. source.StoredAffine.Select(linear => (linear.Module, Layout(linear)))];
        MlxLayout common = layouts.GroupBy(linear => linear.Layout).MaxBy(group => group.Count())!.Key;
        IEnumerable<(string Module, MlxLayout Layout)> others = layouts.Where(linear => linear.Layout != common);
        JsonObject quantization = MlxConfig.Build(common, others.Select(linear => KeyValuePair.Create(source.Checkpoint.WrittenName(linear.Module), linear.Layout)), DenseLinears(source));
        config[MlxConfig.Key] = quantization;
        config["quantization_config"] = quantization.DeepClone();
    }

    private static int GroupSize(ExportLinear linear) => StoredGrid.GroupSize(linear.EffectiveGroupSize, Rules.GroupSizes);

    private static MlxLayout Layout(ExportAffine linear) => new(linear.Grid.Bits, StoredGrid.GroupSize(linear.Grid.GroupSize, Rules.GroupSizes));

    private static IEnumerable<Misfit> Shape(string module, WeightGrid grid, int groupSize)
    {
        if (!Rules.Widths.Contains(grid.Bits)) yield return new Misfit(module, $"{grid.Bits} bits, which MLX lacks", "quantize again with `bits` 6 or 8");
        if (StoredGrid.GroupSize(groupSize, Rules.GroupSizes) == 0)
            yield return new Misfit(
                module, $"scales are shared by {groupSize} inputs, and MLX has groups of {EngineRules.Words(Rules.GroupSizes, "and")}",
                $"quantize again with `group_size` {EngineRules.Words(Rules.GroupSizes)}");
    }

    private static MlxLayout Layout(ExportLinear linear) => new(linear.Grid.Bits, GroupSize(linear));

    private static UniformGrid Grid(ExportLinear linear) => new(linear.Grid.Bits, linear.Grid.Symmetric, Granularity.Group, GroupSize(linear));
}
