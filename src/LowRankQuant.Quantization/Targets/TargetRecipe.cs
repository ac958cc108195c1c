namespace LowRankQuant.Quantization.Targets;

/// <summary>The target of a recipe, resolved.</summary>
/// <param name="Engine">Whose rules the grids obey.</param>
/// <param name="OnMisfit">What was done about layers that did not fit.</param>
/// <param name="TensorParallel">Shards of every matrix; 1 for whole ones.</param>
public sealed record TargetRecipe(Target Engine, MisfitRule OnMisfit, int TensorParallel);
