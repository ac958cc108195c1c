using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Storage;

/// <summary>What became of one block. Losses are means per window of the method's own loss; null where nothing was measured.</summary>
/// <param name="Index">Number of the block.</param>
/// <param name="LossBefore">With weights rounded to nearest on the first grid, training windows.</param>
/// <param name="LossAfter">With the stored weights, the same windows.</param>
/// <param name="HeldOutLoss">With the stored weights, held-out windows.</param>
/// <param name="HeldOutLossBefore">With weights rounded to nearest on the first grid, held-out windows.</param>
/// <param name="Seconds">Wall time.</param>
public sealed record BlockReport(
    int Index, double? LossBefore, double? LossAfter, double? HeldOutLoss, double? HeldOutLossBefore, double Seconds)
{
    /// <summary>Largest resident memory of the process while the block was worked on, bytes; null where the system does not tell.</summary>
    public long? PeakMemoryBytes { get; init; }

    /// <summary>Iteration whose parameters were kept; null when the method does not train.</summary>
    public int? KeptIteration { get; init; }

    /// <summary>Every linear layer, where the method works layer by layer; else empty.</summary>
    public IReadOnlyList<LayerReport> Layers { get; init; } = [];

    /// <summary>Calibration tokens that reached every expert, router by router; empty without experts, or without calibration.</summary>
    public IReadOnlyList<long[]> ExpertTokens { get; init; } = [];

    /// <summary>What went wrong and how it was handled.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Quantized inputs and what quantizing them loses; empty where they stay floats.</summary>
    public IReadOnlyList<SiteReport> Activations { get; init; } = [];

    /// <summary>What transforms did, a sentence each; empty without.</summary>
    public IReadOnlyList<string> Transforms { get; init; } = [];
}
