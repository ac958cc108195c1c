using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Modules;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>GPTQ v1 and v2, and AutoRound in that layout.</summary>
internal sealed class GptqContainer : QuantizedContainer
{
    private readonly Dictionary<string, GptqLayout> _layouts;

    /// <summary>Finds the quantized modules and the layout of each.</summary>
    /// <exception cref="CheckpointFormatException">The configuration leaves a module dense that is stored quantized, or a pattern takes too long.</exception>
    public GptqContainer(SafetensorsFolder tensors, string name, ModuleLayouts<GptqLayout> layouts)
        : base(tensors, ModulesWith(tensors, GptqReader.Codes))
    {
        Name = name;
        _layouts = layouts.Resolve(Modules, tensors.Location);
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    protected override string ScaleSuffix => ".scales";

    /// <summary>Reads the configuration of a GPTQ checkpoint.</summary>
    public static GptqContainer Open(JsonElement config, string file, SafetensorsFolder tensors) =>
        new(tensors, GptqConfig.QuantMethod, GptqConfig.Parse(config, file));

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => GptqReader.ShapeOf(Tensors, module, _layouts[module]);

    /// <inheritdoc/>
    public override OrderedWeight Read(string module) => GptqReader.Read(Tensors, module, _layouts[module]);
}
