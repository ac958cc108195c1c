using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>Whether everything of a recipe that looks at text can leave out tokens; what cannot is named, never ignored.</summary>
internal static class MaskResolver
{
    private const string Key = "`assistant_only`";

    /// <summary>Adds what does not go together with masks to the problems.</summary>
    /// <param name="catalog">The methods that there are.</param>
    /// <param name="recipe">The recipe.</param>
    /// <param name="linears">The linears that are quantized.</param>
    /// <param name="problems">The problems.</param>
    public static void Check(MethodCatalog catalog, Recipe recipe, IReadOnlyList<LinearShape> linears, List<string> problems)
    {
        string able = string.Join(", ", catalog.Methods.Where(method => method.HonoursTokenMask).Select(method => method.Name));
        foreach (string name in recipe.Methods.Select(settings => settings.Method).Distinct())
        {
            if (catalog.TryFind(name, out QuantizationMethod? method) && !method.HonoursTokenMask)
                problems.Add($"{Key}: method {name} {(method.Needs == MethodNeeds.None ? "learns nothing from text" : "learns from all tokens of a text")}; methods that can leave some out are {able}.");
        }
        foreach (MethodSettings settings in recipe.Methods.Where(settings => settings.PlansModel).DistinctBy(settings => settings.Method))
            problems.Add($"{Key}: method {settings.Method} as it is asked for measures the whole model on all tokens before its first block (a budget, or `loss` fisher); leave that out.");
        if (recipe.Tuning is not null) problems.Add($"{Key}: `tune_steps` tune the whole model on all tokens; give `tune_steps` 0.");
        if (recipe.FindsRanges) problems.Add($"{Key}: static ranges of activations or caches are found on all tokens; take dynamic ones, such as 8:token.");
        foreach (string transform in recipe.Transforms.Where(transform => transform.NeedsInputs).Select(transform => transform.Name).Distinct())
            problems.Add($"{Key}: the transform {transform} looks at all tokens; leave it out.");
        if (recipe.Vocabulary?.Head is not null) problems.Add($"{Key}: the output head is fitted to all tokens; give `head` off.");
        if (recipe.Methods.Any(method => method.FitsLayers) && linears.FirstOrDefault(linear => linear.Name.Contains("experts", StringComparison.Ordinal)) is { Name: { } expert })
            problems.Add($"{Key}: {recipe.Method.Method} fits experts ({expert}) to the tokens that routers send them, which are not told apart; take a method that learns whole blocks, such as lrq.");
    }
}
