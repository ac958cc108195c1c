using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Gptq;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>GPTQModel: runs of 32 in both directions, v1 with zero points of its own only, 3-bit v1 only from release 7 on.</summary>
internal sealed class GptqModelRules : IEngineRules
{
    private const string OwnName = "gptqmodel:";
    private static readonly EngineRules Rules = EngineTable.GptqModel;

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model)
    {
        if (model.Container is not (GptqConfig.QuantMethod or AwqConfig.QuantMethod)) return null;
        if (model.FirstThat(linear => linear.InFeatures % Rules.InputTile != 0 || linear.OutFeatures % Rules.OutputTile != 0) is { } odd)
            return new EngineVerdict(Rules, EngineSupport.Refuses, $"inputs and outputs come in multiples of {Rules.InputTile}: {odd}");
        bool first = model.Container == GptqConfig.QuantMethod && Text(model.Quantization?["checkpoint_format"] ?? model.Quantization?["format"]) is null or GptqConfig.V1;
        if (first && model.Quantization?["sym"] is JsonValue flag && flag.GetValueKind() == JsonValueKind.False)
        {
            return WrittenByItself(model.Quantization)
                ? new EngineVerdict(Rules, EngineSupport.Loads, "v1 with zero points, because meta.quantizer names GPTQModel itself; other readers may take zero points of 0 otherwise")
                : new EngineVerdict(
                    Rules, EngineSupport.Refuses,
                    $"v1 with sym false is loaded only where meta.quantizer names gptqmodel {EngineTable.FirstAsymmetricV1} or later; write v2 (`gptq_format` v2)");
        }
        if (first && model.FirstThat(linear => linear.Grid.Bits == 3) is { } three)
            return new EngineVerdict(Rules, EngineSupport.Loads, $"from release 7 on; older ones misread 3-bit v1 zero points: {three}");
        return model.FirstThat(linear => linear.Grid.Bits is not (4 or 8)) is { } slow
            ? new EngineVerdict(Rules, EngineSupport.Loads, $"2 and 3 bits by general kernels: {slow}")
            : new EngineVerdict(Rules, EngineSupport.Fast, "kernels for 4 and 8 bits");
    }

    // meta.quantizer is "gptqmodel:7.7.0", or a list of such.
    private static bool WrittenByItself(JsonObject quantization)
    {
        JsonNode? quantizer = (quantization["meta"] as JsonObject)?["quantizer"];
        IEnumerable<string?> names = quantizer is JsonArray list ? list.Select(Text) : [Text(quantizer)];
        return names.Any(name => name?.StartsWith(OwnName, StringComparison.Ordinal) == true
            && Version.TryParse(name[OwnName.Length..].Split('-', '+')[0], out Version? version) && version >= EngineTable.FirstAsymmetricV1);
    }

    private static string? Text(JsonNode? node) => node is JsonValue value && value.TryGetValue(out string? text) ? text : null;
}
