using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>A grid and rank of a layer, its cost and what it is predicted to lose.</summary>
/// <param name="Grid">The grid; null where it is not to be chosen.</param>
/// <param name="Rank">Rank of the branch.</param>
/// <param name="Cost">Stored bits of the layer.</param>
/// <param name="Loss">Predicted KL per token, nats.</param>
internal readonly record struct LayerChoice(WeightGrid? Grid, int Rank, double Cost, double Loss);

/// <summary>The choices of one layer.</summary>
/// <param name="Name">Module path.</param>
/// <param name="Choices">Any order; at least one.</param>
internal sealed record LayerOptions(string Name, IReadOnlyList<LayerChoice> Choices);
