using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods;

/// <summary>What a method made of one block.</summary>
/// <param name="Weights">One per slot, in slot order.</param>
public sealed record QuantizedBlock(IReadOnlyList<QuantizedWeight> Weights)
{
    /// <summary>What went wrong and how it was handled, such as a divergence; empty when nothing.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>One per slot where the method works layer by layer; else empty.</summary>
    public IReadOnlyList<LayerReport> Layers { get; init; } = [];

    /// <summary>Iterations after which the kept parameters were taken; null when the method does not train.</summary>
    public int? KeptIteration { get; init; }
}
