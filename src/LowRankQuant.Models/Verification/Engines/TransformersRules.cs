using System.Text.Json.Nodes;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Gptq;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>transformers with the library of each container.</summary>
internal sealed class TransformersRules : IEngineRules
{
    private const string PackQuantized = "pack-quantized";
    private static readonly EngineRules Rules = EngineTable.Transformers;

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model) => model.Container switch
    {
        "dense" => new EngineVerdict(Rules, EngineSupport.Fast, "plain floats"),
        CompressedTensorsConfig.QuantMethod => CompressedTensors(model),
        GptqConfig.QuantMethod => Loads("with gptqmodel installed, by its rules"),
        AwqConfig.QuantMethod => Loads("with gptqmodel or autoawq installed"),
        "auto-round" => Loads("with auto-round installed"),
        _ => null,
    };

    private static EngineVerdict CompressedTensors(StoredModel model)
    {
        if (model.Quantization?["quantization_status"]?.ToString() != "compressed")
            return new EngineVerdict(Rules, EngineSupport.Refuses, "quantization_status must be 'compressed'");
        if (IsPacked(model.Quantization) && model.FirstThat(linear => !linear.Grid.Symmetric) is { } zeros)
            return Loads($"{(model.HasSeveralGrids ? EngineTable.MixedPackedZeroPoints : EngineTable.PackedZeroPoints)}: {zeros}");
        return model.FirstThat(linear => linear.Grid.Bits is 3 or 5 or 6 or 7) is { } dense
            ? Loads($"with compressed-tensors {EngineTable.DensePackingSince} or later, which packs as this file does: {dense}")
            : Loads("with compressed-tensors installed; weights are dequantized");
    }

    // The format stands for the whole file, or, in files of mixed formats, with each group.
    private static bool IsPacked(JsonObject quantization) => quantization["format"]?.ToString() == PackQuantized
        || (quantization["config_groups"] is JsonObject groups && groups.Any(group => (group.Value as JsonObject)?["format"]?.ToString() == PackQuantized));

    private static EngineVerdict Loads(string why) => new(Rules, EngineSupport.Loads, why);
}
