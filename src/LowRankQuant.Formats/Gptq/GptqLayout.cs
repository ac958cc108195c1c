using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gptq;

/// <summary>What a reader of GPTQ tensors must know.</summary>
/// <param name="Bits">Width of a code: 2, 3, 4 or 8.</param>
/// <param name="GroupSize">Inputs per group; -1 for the whole row.</param>
/// <param name="Symmetric">Whether every zero point is 2^(bits-1).</param>
/// <param name="ZeroPoints">What the fields of qzeros hold.</param>
public sealed record GptqLayout(int Bits, int GroupSize, bool Symmetric, GptqZeroPoints ZeroPoints)
{
    /// <summary>The code widths that all readers of the format share.</summary>
    public static IReadOnlyList<int> Widths { get; } = [2, 3, 4, 8];

    /// <summary>The weight grid.</summary>
    public UniformGrid Grid => GroupSize == -1 ? new UniformGrid(Bits, Symmetric, Granularity.Channel) : new UniformGrid(Bits, Symmetric, Granularity.Group, GroupSize);
}
