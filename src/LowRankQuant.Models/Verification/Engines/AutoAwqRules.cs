using LowRankQuant.Formats.Awq;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>AutoAWQ's GEMM layout (golden/awq/README.md).</summary>
internal sealed class AutoAwqRules : IEngineRules
{
    private const string Name = "AutoAWQ";

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model)
    {
        if (model.Container != AwqConfig.QuantMethod) return null;
        if (model.FirstThat(linear => linear.OutFeatures % AwqLayout.OutputRun != 0) is { } odd)
            return new EngineVerdict(Name, EngineSupport.Refuses, $"outputs come in multiples of {AwqLayout.OutputRun}: {odd}");
        return model.FirstThat(linear => linear.EffectiveGroupSize is not (32 or 64 or 128)) is { } group
            ? new EngineVerdict(Name, EngineSupport.Loads, $"groups other than 32, 64 and 128 run by its general kernel: {group}")
            : new EngineVerdict(Name, EngineSupport.Fast, "GEMM kernels");
    }
}
