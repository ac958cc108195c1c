using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Gptq;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>transformers with the library of each container (golden READMEs).</summary>
internal sealed class TransformersRules : IEngineRules
{
    private const string Name = "transformers";

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model) => model.Container switch
    {
        "dense" => new EngineVerdict(Name, EngineSupport.Fast, "plain floats"),
        CompressedTensorsConfig.QuantMethod => CompressedTensors(model),
        GptqConfig.QuantMethod => new EngineVerdict(Name, EngineSupport.Loads, "with gptqmodel installed"),
        AwqConfig.QuantMethod => new EngineVerdict(Name, EngineSupport.Loads, "with gptqmodel or autoawq installed"),
        "auto-round" => new EngineVerdict(Name, EngineSupport.Loads, "with auto-round installed"),
        _ => null,
    };

    private static EngineVerdict CompressedTensors(StoredModel model)
    {
        if (model.Quantization?["quantization_status"]?.ToString() != "compressed")
            return new EngineVerdict(Name, EngineSupport.Refuses, "quantization_status must be 'compressed'");
        return model.FirstThat(linear => linear.Grid.Bits is 3 or 5 or 6 or 7) is { } dense
            ? new EngineVerdict(Name, EngineSupport.Loads, $"with compressed-tensors 0.18 or later, which packs as this file does: {dense}")
            : new EngineVerdict(Name, EngineSupport.Loads, "with compressed-tensors installed; weights are dequantized");
    }
}
