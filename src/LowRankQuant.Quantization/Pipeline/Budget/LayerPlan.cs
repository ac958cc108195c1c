using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Pipeline.Budget;

/// <summary>What a plan for the whole model gives one linear layer.</summary>
/// <param name="Grid">Its grid; null for the one that it has without a plan.</param>
/// <param name="Rank">Rank of the branch.</param>
/// <param name="RowSensitivity">[outFeatures]: half the mean square of dloss/doutput: nats per unit of squared output error.</param>
public sealed record LayerPlan(WeightGrid? Grid, int Rank, double[] RowSensitivity);
