using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Transforms;

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
        TransformSettings[] looking = [.. recipe.Transforms.Where(transform => transform.NeedsInputs)];
        QuantizationMethod[] used = [.. recipe.Methods.Select(settings => settings.Method).Distinct().Select(name => catalog.TryFind(name, out QuantizationMethod? method) ? method : null).OfType<QuantizationMethod>()];
        // Beside something that looks at text, what looks at none leaves nothing in.
        bool looksAtNothing = looking.Length == 0 && used.All(method => method.Needs == MethodNeeds.None);
        foreach (QuantizationMethod method in used.Where(method => !method.HonoursTokenMask && (looksAtNothing || method.Needs != MethodNeeds.None)))
            problems.Add($"{Key}: method {method.Name} {(method.Needs == MethodNeeds.None ? "learns nothing from text" : "learns from all tokens of a text")}; methods that can leave some out are {able}.");
        // A model that was shown answers alone still has to hold every token of a prompt.
        if (recipe.FindsRanges) problems.Add($"{Key}: static ranges of activations or caches have to hold all tokens; take dynamic ones, such as 8:token.");
        if (linears.FirstOrDefault(linear => linear.Name.Contains("experts", StringComparison.Ordinal)) is not { Name: { } expert }) return;
        string apart = $"experts ({expert}) to the tokens that routers send them, which are not told apart";
        if (recipe.Methods.FirstOrDefault(method => method.FitsLayers) is { } fitting)
            problems.Add($"{Key}: {fitting.Method} fits {apart}; take a method that learns whole blocks, such as lrq.");
        foreach (string transform in looking.Select(transform => transform.Name).Distinct()) problems.Add($"{Key}: the transform {transform} fits {apart}; leave it out.");
    }
}
