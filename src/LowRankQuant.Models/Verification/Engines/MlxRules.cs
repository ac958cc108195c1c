using LowRankQuant.Formats.Mlx;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>MLX's loader (FORMATS 3.11): group sizes it has kernels for, outputs in multiples of 64.</summary>
internal sealed class MlxRules : IEngineRules
{
    private const string Name = "MLX";
    private const int Outputs = 64;

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model)
    {
        if (model.Container == "dense") return new EngineVerdict(Name, EngineSupport.Fast, "plain floats");
        if (model.Container != "mlx") return null;
        if (model.FirstThat(linear => !MlxLayout.GroupSizes.Contains(linear.EffectiveGroupSize)) is { } group)
            return new EngineVerdict(Name, EngineSupport.Refuses, $"groups are of 32, 64 or 128: {group}");
        return model.FirstThat(linear => linear.OutFeatures % Outputs != 0) is { } odd
            ? new EngineVerdict(Name, EngineSupport.Refuses, $"outputs come in multiples of {Outputs}: {odd}")
            : new EngineVerdict(Name, EngineSupport.Fast, "quantized matrix products for every width");
    }
}
