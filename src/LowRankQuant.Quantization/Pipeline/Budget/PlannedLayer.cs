namespace LowRankQuant.Quantization.Pipeline.Budget;

/// <summary>A row of a stored plan.</summary>
/// <param name="Name">Module path.</param>
/// <param name="Grid">Its grid; null for the one that it has without a plan.</param>
/// <param name="Rank">Rank of the branch.</param>
public sealed record PlannedLayer(string Name, LayerGrid? Grid, int Rank);
