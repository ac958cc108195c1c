using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>GPTQ v1 and v2, and AutoRound in that layout.</summary>
internal sealed class GptqContainer(SafetensorsFolder tensors, string name, GptqLayout layout) : QuantizedContainer(tensors, ModulesWith(tensors, GptqReader.Codes))
{
    /// <inheritdoc/>
    public override string Name => name;

    /// <inheritdoc/>
    protected override string ScaleSuffix => ".scales";

    /// <summary>Reads the configuration of a GPTQ checkpoint.</summary>
    public static GptqContainer Open(JsonElement config, string file, SafetensorsFolder tensors) =>
        new(tensors, GptqConfig.QuantMethod, GptqConfig.Parse(config, file));

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => GptqReader.ShapeOf(Tensors, module, layout);

    /// <inheritdoc/>
    public override OrderedWeight Read(string module) => GptqReader.Read(Tensors, module, layout);
}
