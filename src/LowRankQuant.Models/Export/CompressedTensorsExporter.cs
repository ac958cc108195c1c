using System.Text.Json.Nodes;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>
/// compressed-tensors: <c>pack-quantized</c> for weights alone, <c>int-quantized</c> or what the source has with quantized activations. Every grid of
/// 2 to 8 bits fits; quantizers of activations and caches are kept.
/// </summary>
public sealed class CompressedTensorsExporter : FolderExporter
{
    /// <inheritdoc/>
    public override string Name => CompressedTensorsConfig.QuantMethod;

    /// <inheritdoc/>
    protected override bool KeepsQuantizers => true;

    /// <inheritdoc/>
    protected override ScaleType DenseType(ExportSource source) => source.StoredLinears[0].ScaleType;

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> ModelMisfits(ExportSource source, ExportOptions options)
    {
        ScaleType common = DenseType(source);
        foreach (ExportLinear linear in source.StoredLinears.Where(linear => linear.ScaleType != common))
            yield return new Misfit(
                linear.Module, $"{linear.ScaleType} scales where others have {common}, and loaders cast all to one type",
                "quantize again with one `scale_dtype`");
    }

    /// <inheritdoc/>
    protected override IEnumerable<Misfit> LinearMisfits(ExportLinear linear, UniformWeight weight, ExportOptions options) =>
        linear.Ordered ? [OrderMisfit(linear)] : [];

    /// <inheritdoc/>
    protected override IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportLinear linear, ExportOptions options)
    {
        QuantizedModule module = Module(source, linear, options);
        UniformWeight Load() => source.Load(linear).Weight;
        return module.Format == "pack-quantized"
            ? CompressedTensorsWriter.PackQuantized(linear.Module, linear.OutFeatures, linear.InFeatures, linear.Grid, linear.ScaleType, Load)
            : CompressedTensorsWriter.IntQuantized(linear.Module, linear.OutFeatures, linear.InFeatures, linear.Grid, linear.ScaleType, Load);
    }

    /// <inheritdoc/>
    protected override void WriteConfig(ExportSource source, ExportOptions options, JsonObject config, string folder)
    {
        QuantizedModule[] modules =
            [.. source.StoredLinears.Select(linear => Module(source, linear, options) with { Name = source.Checkpoint.WrittenName(linear.Module) })];
        List<string> ignore = [.. DenseModules(source)];
        if (!source.HeadIsQuantized) ignore.Add(source.Checkpoint.WrittenName(source.Head));
        QuantizationArgs? kvCache = options.WeightsOnly ? null : source.Checkpoint.Quantizers?.Config.KvCacheScheme;
        config["quantization_config"] = CompressedTensorsWriter.BuildConfig(modules, ignore, kvCache: kvCache);
    }

    private static QuantizedModule Module(ExportSource source, ExportLinear linear, ExportOptions options)
    {
        RuntimeQuantizers? quantizers = options.WeightsOnly ? null : source.Checkpoint.Quantizers;
        return (quantizers?.Config.SchemeFor(source.Checkpoint.WrittenName(linear.Module)) ?? quantizers?.Config.SchemeFor(linear.Module)) is { } scheme
            ? new QuantizedModule(linear.Module, linear.Grid, scheme.InputActivations, scheme.OutputActivations, scheme.Format) { IsTable = linear.IsTable }
            : new QuantizedModule(linear.Module, linear.Grid) { IsTable = linear.IsTable };
    }
}
