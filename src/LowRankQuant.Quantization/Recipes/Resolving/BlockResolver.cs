using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that is about <c>blocks</c>: some blocks have a method, options or a seed of their own.</summary>
/// <param name="catalog">The methods that there are.</param>
/// <param name="request">What was asked for.</param>
/// <param name="layers">Blocks of the model.</param>
/// <param name="problems">Receives what cannot be run.</param>
internal sealed class BlockResolver(MethodCatalog catalog, RecipeRequest request, int layers, List<string> problems)
{
    private sealed record Asked(QuantizationMethod Method, IReadOnlyDictionary<string, string> Options, ulong? Seed);

    /// <summary>The methods that rules name.</summary>
    public static IEnumerable<QuantizationMethod> MethodsOf(MethodCatalog catalog, RecipeRequest request) =>
        request.BlockRules.Select(rule => rule.Method is { } name && catalog.TryFind(name, out QuantizationMethod? method) ? method : null).OfType<QuantizationMethod>();

    /// <summary>Blocks that differ from the others, those that are alike together.</summary>
    /// <param name="method">The method of the others.</param>
    /// <param name="usual">The same with its options resolved.</param>
    /// <param name="seed">The seed of the others.</param>
    /// <param name="resolve">Resolves options of a method for a block; receives its problems.</param>
    public IReadOnlyList<BlockRecipe> Resolve(
        QuantizationMethod method, MethodSettings usual, ulong seed, Func<QuantizationMethod, IReadOnlyDictionary<string, string>, int, List<string>, MethodSettings> resolve)
    {
        if (request.BlockRules.Count == 0) return [];
        var asked = new SortedDictionary<int, Asked>();
        foreach (BlockRule rule in request.BlockRules) Apply(rule, new Asked(method, request.Options, null), asked);
        var found = new SortedDictionary<int, BlockRecipe>();
        foreach ((int block, Asked wanted) in asked)
        {
            var wrong = new List<string>();
            MethodSettings settings = resolve(wanted.Method, wanted.Options, block, wrong);
            if (!Same(settings, usual)) wrong.AddRange(Refused(settings, usual));
            foreach (string problem in wrong.Select(problem => $"blocks {BlockList.Text([.. asked.Where(other => other.Value == wanted).Select(other => other.Key)])}: {problem}").Where(problem => !problems.Contains(problem)))
                problems.Add(problem);
            if (!Same(settings, usual) || (wanted.Seed ?? seed) != seed) found.Add(block, new BlockRecipe([block], settings, wanted.Seed ?? seed));
        }
        var together = new List<BlockRecipe>();
        foreach (BlockRecipe one in found.Values)
        {
            int at = together.FindIndex(other => other.Seed == one.Seed && Same(other.Method, one.Method));
            if (at < 0) together.Add(one);
            else together[at] = together[at] with { Blocks = [.. together[at].Blocks, .. one.Blocks] };
        }
        return together;
    }

    private void Apply(BlockRule rule, Asked usual, SortedDictionary<int, Asked> asked)
    {
        string name = $"`blocks` {BlockList.Text(rule.Blocks)}";
        if (rule.Method is { } unknown && !catalog.TryFind(unknown, out _))
        {
            problems.Add($"{name}: method {unknown} is unknown; the methods are {catalog.Names}.");
            return;
        }
        if (rule.Blocks.Count == 0 || rule.Blocks[0] < 0 || rule.Blocks[^1] >= layers)
        {
            problems.Add($"{name}: the model has blocks 0 to {layers - 1}.");
            return;
        }
        // Blocks that were alike stay one group for messages.
        foreach (IGrouping<Asked, int> same in rule.Blocks.GroupBy(block => asked.GetValueOrDefault(block, usual)))
        {
            Asked before = same.Key;
            QuantizationMethod method = rule.Method is { } own && catalog.TryFind(own, out QuantizationMethod? found) ? found : before.Method;
            Dictionary<string, string> options = method == before.Method ? new(before.Options, StringComparer.Ordinal) : new(StringComparer.Ordinal);
            foreach ((string key, string text) in rule.Options) options[key] = text;
            var after = new Asked(method, options, rule.Seed ?? before.Seed);
            foreach (int block in same) asked[block] = after;
        }
    }

    private static IEnumerable<string> Refused(MethodSettings own, MethodSettings usual)
    {
        if (own.PlansModel || usual.PlansModel)
            yield return $"{(own.PlansModel ? own.Method : usual.Method)} looks at the whole model before its first block, so that no block can have a method or options of its own.";
        if (own.MayHaveBranches && usual.MayHaveBranches && own.FactorBits != usual.FactorBits)
            yield return $"branches of {own.FactorBits} bits an element beside others of {usual.FactorBits}; one file of branches has one width.";
    }

    private static bool Same(MethodSettings one, MethodSettings other) => one.Method == other.Method && one.Values.SequenceEqual(other.Values);
}
