namespace LowRankQuant.Quantization.Recipes;

/// <summary>A method, options or a seed of their own for some blocks; null where nothing was said, which means what the other blocks have.</summary>
/// <param name="Blocks">Numbers of the blocks.</param>
/// <param name="Method">The method.</param>
/// <param name="Options">Its options, texts by key; where the method is that of the other blocks, theirs for what is not said.</param>
/// <param name="Seed">The seed.</param>
public sealed record BlockRule(IReadOnlyList<int> Blocks, string? Method, IReadOnlyDictionary<string, string> Options, ulong? Seed);
