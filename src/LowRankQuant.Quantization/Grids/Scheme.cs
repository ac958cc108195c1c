using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>How weights are quantized, whatever the method.</summary>
/// <param name="Grid">The integer grid.</param>
/// <param name="Start">How its first steps and zero points are found.</param>
/// <param name="ScaleType">The type in which scales are stored.</param>
public sealed record Scheme(UniformGrid Grid, GridStart Start, ScaleType ScaleType)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Grid}, {ScaleType} scales, {(Start == GridStart.MinMax ? "min-max" : "searched")} start";
}
