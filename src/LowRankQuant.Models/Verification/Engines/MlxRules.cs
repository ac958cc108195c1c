using LowRankQuant.Formats.Engines;
using LowRankQuant.Models.Export;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>MLX's loader: group sizes it has kernels for, the embedding of a tied model under its own name.</summary>
internal sealed class MlxRules : IEngineRules
{
    private static readonly EngineRules Rules = EngineTable.Mlx;

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model)
    {
        if (model.Container is not ("dense" or "mlx")) return null;
        if (model.TiedByHeadAlone)
            return new EngineVerdict(Rules, EngineSupport.Refuses, "a tied model needs the embedding, and the folder stores the shared matrix under the head's name alone");
        if (model.Container == "dense") return new EngineVerdict(Rules, EngineSupport.Fast, "plain floats");
        ExportAffine? odd = model.Affine.FirstOrDefault(linear => !Rules.GroupSizes.Contains(linear.Grid.GroupSize));
        return (model.FirstThat(linear => !Rules.GroupSizes.Contains(linear.EffectiveGroupSize)) ?? (odd is null ? null : $"{odd.Module} ({odd.Grid}, [{odd.OutFeatures}, {odd.InFeatures}])")) is { } group
            ? new EngineVerdict(Rules, EngineSupport.Refuses, $"groups are of {EngineRules.Words(Rules.GroupSizes)}: {group}")
            : new EngineVerdict(Rules, EngineSupport.Fast, "quantized matrix products for every width");
    }
}
