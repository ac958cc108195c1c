using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Awq;

/// <summary>What a reader of AWQ tensors must know.</summary>
/// <param name="GroupSize">Inputs per group; -1 for the whole row.</param>
public sealed record AwqLayout(int GroupSize)
{
    /// <summary>Width of a code.</summary>
    public const int Bits = 4;

    /// <summary>The weight grid: zero points are always stored.</summary>
    public UniformGrid Grid => GroupSize == -1 ? new UniformGrid(Bits, false, Granularity.Channel) : new UniformGrid(Bits, false, Granularity.Group, GroupSize);
}
