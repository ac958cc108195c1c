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
        _layouts = layouts.Resolve(Modules, StoredName, tensors.Location);
        if (Relabelled(layouts.Common) is not { } form)
        {
            // gptqmodel refuses such files, and old ones exist whose writers stored the zero points as they are.
            if (Modules.Count > 0 && name == GptqConfig.QuantMethod && layouts.Common is { Symmetric: false, ZeroPoints: not GptqZeroPoints.AsTheyAre })
            {
                Warnings =
                [
                    $"asymmetric zero points are read as {GptqConfig.V1} (v1) has them, less one, as the configuration says; if the model talks nonsense, " +
                    $"set \"checkpoint_format\": \"{GptqConfig.V2}\" in quantize_config.json and config.json.",
                ];
            }
            return;
        }
        foreach (string module in Modules) _layouts[module] = _layouts[module] with { ZeroPoints = form };
        (string label, string stored) = form == GptqZeroPoints.AsTheyAre ? (GptqConfig.V1, GptqConfig.V2) : (GptqConfig.V2, GptqConfig.V1);
        string key = name == GptqConfig.QuantMethod
            ? $"\"checkpoint_format\": \"{stored}\""
            : $"\"packing_format\": \"auto_round:{(form == GptqZeroPoints.AsTheyAre ? "gptqmodel" : "auto_gptq")}\"";
        Warnings =
        [
            $"the configuration says that zero points are stored as in {label}, but they are stored as in {stored} and are read so; " +
            $"set {key} in its file for other readers.",
        ];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Warnings { get; } = [];

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    protected override string ScaleSuffix => ".scales";

    /// <inheritdoc/>
    protected override IReadOnlyList<string> Parts => ["qweight", "qzeros", "scales", "g_idx"];

    /// <summary>Reads the configuration of a GPTQ checkpoint.</summary>
    public static GptqContainer Open(JsonElement config, string file, SafetensorsFolder tensors) =>
        new(tensors, GptqConfig.QuantMethod, GptqConfig.Parse(config, file));

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => GptqReader.ShapeOf(Tensors, module, _layouts[module]);

    /// <inheritdoc/>
    public override OrderedWeight Read(string module) => GptqReader.Read(Tensors, module, _layouts[module]);

    // Where every zero point is the middle, the fields of the first module say which form they have; null where that is what the configuration says.
    private GptqZeroPoints? Relabelled(GptqLayout common)
    {
        string? first = Modules.Order(StringComparer.Ordinal).FirstOrDefault();
        if (first is null || FormOf(first) is not { } form) return null;
        return (form == GptqZeroPoints.AsTheyAre) == (common.ZeroPoints == GptqZeroPoints.AsTheyAre) ? null : form;
    }

    private GptqZeroPoints? FormOf(string module)
    {
        try
        {
            return GptqReader.FormOf(Tensors, module, _layouts[module]);
        }
        catch (CheckpointFormatException)
        {
            // What is unsound is told when it is read.
            return null;
        }
    }
}
