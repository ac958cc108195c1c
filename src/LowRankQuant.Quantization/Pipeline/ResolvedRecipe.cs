namespace LowRankQuant.Quantization.Pipeline;

/// <summary>A recipe and what the user should know about how it came about.</summary>
/// <param name="Recipe">The recipe.</param>
/// <param name="Notes">Values that were cut to the model or to the text, one sentence each.</param>
public sealed record ResolvedRecipe(Recipe Recipe, IReadOnlyList<string> Notes);
