using System.Globalization;

namespace LowRankQuant.Tests.Quantization;

/// <summary>Options of a method as somebody asks for them, texts by key.</summary>
internal static class Asked
{
    public static IReadOnlyDictionary<string, string> For(params (string Key, object Value)[] options) => options.ToDictionary(
        option => option.Key, option => option.Value is bool yes ? yes ? "true" : "false" : Convert.ToString(option.Value, CultureInfo.InvariantCulture)!, StringComparer.Ordinal);

    /// <summary>The resolved value of an option, as a recipe spells it; null where the recipe has none.</summary>
    public static string? Value(this LowRankQuant.Quantization.Recipes.Recipe recipe, string key) =>
        recipe.Method.Values.Where(value => value.Key == key).Select(value => value.Value).SingleOrDefault();
}
