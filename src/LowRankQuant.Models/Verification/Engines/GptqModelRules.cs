using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Gptq;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>GPTQModel (golden/gptq/README.md): runs of 32 in both directions, 3-bit v1 only from release 7 on.</summary>
internal sealed class GptqModelRules : IEngineRules
{
    private const string Name = "GPTQModel";
    private const int Run = 32;

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model)
    {
        if (model.Container is not (GptqConfig.QuantMethod or AwqConfig.QuantMethod)) return null;
        if (model.FirstThat(linear => linear.InFeatures % Run != 0 || linear.OutFeatures % Run != 0) is { } odd)
            return new EngineVerdict(Name, EngineSupport.Refuses, $"inputs and outputs come in multiples of {Run}: {odd}");
        bool first = model.Quantization?["checkpoint_format"]?.ToString() is null or GptqConfig.V1;
        if (model.Container == GptqConfig.QuantMethod && first && model.FirstThat(linear => linear.Grid.Bits == 3) is { } three)
            return new EngineVerdict(Name, EngineSupport.Loads, $"from release 7 on; older ones misread 3-bit v1 zero points: {three}");
        return model.FirstThat(linear => linear.Grid.Bits is not (4 or 8)) is { } slow
            ? new EngineVerdict(Name, EngineSupport.Loads, $"2 and 3 bits by general kernels: {slow}")
            : new EngineVerdict(Name, EngineSupport.Fast, "kernels for 4 and 8 bits");
    }
}
