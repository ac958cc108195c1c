using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Engines;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>AutoAWQ's GEMM layout.</summary>
internal sealed class AutoAwqRules : IEngineRules
{
    private static readonly EngineRules Rules = EngineTable.AutoAwq;

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model)
    {
        if (model.Container != AwqConfig.QuantMethod) return null;
        if (model.FirstThat(linear => linear.OutFeatures % Rules.OutputTile != 0) is { } odd)
            return new EngineVerdict(Rules, EngineSupport.Refuses, $"outputs come in multiples of {Rules.OutputTile}: {odd}");
        return model.FirstThat(linear => !Rules.GroupSizes.Contains(linear.EffectiveGroupSize)) is { } group
            ? new EngineVerdict(Rules, EngineSupport.Loads, $"groups other than {EngineRules.Words(Rules.GroupSizes, "and")} run by its general kernel: {group}")
            : new EngineVerdict(Rules, EngineSupport.Fast, "GEMM kernels");
    }
}
