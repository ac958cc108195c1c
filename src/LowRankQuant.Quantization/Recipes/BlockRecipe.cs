using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>Blocks that are quantized in a way of their own, resolved. Their grids are among <see cref="Recipe.Layers"/>.</summary>
/// <param name="Blocks">Their numbers, rising.</param>
/// <param name="Method">Their method.</param>
/// <param name="Seed">Their seed.</param>
public sealed record BlockRecipe(IReadOnlyList<int> Blocks, MethodSettings Method, ulong Seed)
{
    /// <summary>One line for people.</summary>
    public string Describe() => $"{(Blocks.Count == 1 ? "block" : "blocks")} {BlockList.Text(Blocks)}: {Method.Method}: {Method.Describe()}, seed {Seed}";
}
