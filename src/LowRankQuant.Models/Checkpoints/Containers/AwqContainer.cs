using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Modules;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>AWQ in the GEMM layout, and AutoRound in that layout.</summary>
internal sealed class AwqContainer : QuantizedContainer
{
    private readonly Dictionary<string, AwqLayout> _layouts;

    /// <summary>Finds the quantized modules and the layout of each.</summary>
    /// <exception cref="CheckpointFormatException">The configuration leaves a module dense that is stored quantized, or a pattern takes too long.</exception>
    public AwqContainer(SafetensorsFolder tensors, string name, ModuleLayouts<AwqLayout> layouts)
        : base(tensors, ModulesWith(tensors, AwqReader.Codes))
    {
        Name = name;
        _layouts = layouts.Resolve(Modules, StoredName, tensors.Location);
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    protected override string ScaleSuffix => ".scales";

    /// <inheritdoc/>
    protected override IReadOnlyList<string> Parts => ["qweight", "qzeros", "scales"];

    /// <summary>Reads the configuration of an AWQ checkpoint.</summary>
    public static AwqContainer Open(JsonElement config, string file, SafetensorsFolder tensors) => new(tensors, AwqConfig.QuantMethod, AwqConfig.Parse(config, file));

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => AwqReader.ShapeOf(Tensors, module, _layouts[module]);

    /// <inheritdoc/>
    public override OrderedWeight Read(string module) => new(AwqReader.Read(Tensors, module, _layouts[module]), null);
}
