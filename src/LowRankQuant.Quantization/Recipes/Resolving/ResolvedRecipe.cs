namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>A recipe and what the user should know about how it came about.</summary>
/// <param name="Recipe">The recipe; cannot be run when there are problems.</param>
/// <param name="Notes">Values that were cut to the model or to the text, one sentence each.</param>
/// <param name="Problems">Everything that is wrong about the request; empty when it can be run.</param>
public sealed record ResolvedRecipe(Recipe Recipe, IReadOnlyList<string> Notes, IReadOnlyList<string> Problems);
