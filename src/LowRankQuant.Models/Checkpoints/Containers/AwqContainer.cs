using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>AWQ in the GEMM layout, and AutoRound in that layout.</summary>
internal sealed class AwqContainer(SafetensorsFolder tensors, string name, AwqLayout layout) : QuantizedContainer(tensors, ModulesWith(tensors, AwqReader.Codes))
{
    /// <inheritdoc/>
    public override string Name => name;

    /// <inheritdoc/>
    protected override string ScaleSuffix => ".scales";

    /// <summary>Reads the configuration of an AWQ checkpoint.</summary>
    public static AwqContainer Open(JsonElement config, string file, SafetensorsFolder tensors) => new(tensors, AwqConfig.QuantMethod, AwqConfig.Parse(config, file));

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => AwqReader.ShapeOf(Tensors, module, layout);

    /// <inheritdoc/>
    public override OrderedWeight Read(string module) => new(AwqReader.Read(Tensors, module, layout), null);
}
