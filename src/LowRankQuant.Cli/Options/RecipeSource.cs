using LowRankQuant.Hub;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes.Files;

namespace LowRankQuant.Cli.Options;

/// <summary>What <c>--recipe</c> names: a file, the folder of a result, or a recipe that ships with lrq.</summary>
internal static class RecipeSource
{
    public const string FileName = "recipe.json";

    /// <summary>Reads it; paths in a file are relative to it.</summary>
    /// <exception cref="RecipeException">There is none, or it is unsound.</exception>
    public static RecipeDocument Read(string name, MethodCatalog catalog)
    {
        string file = Directory.Exists(name) ? Path.Combine(name, FileName) : name;
        if (File.Exists(file))
        {
            RecipeDocument document = RecipeReader.Read(File.ReadAllText(file), file, catalog);
            string folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
            return document with { Texts = Located(document.Texts, folder) };
        }
        // Texts of a recipe that ships are data sets by name.
        if (ReadyRecipes.Find(name) is { } text) return RecipeReader.Read(text, name, catalog);
        throw new RecipeException($"--recipe {name}: neither a file nor a recipe that ships with lrq; those are {string.Join(", ", ReadyRecipes.Names)}.");
    }

    private static RecipeTexts Located(RecipeTexts texts, string folder)
    {
        var values = texts.Values.ToDictionary(StringComparer.Ordinal);
        const string measured = "eval_text";
        if (values.TryGetValue(measured, out string? text)) values[measured] = At(text);
        return texts with { Calibration = [.. texts.Calibration.SelectMany(given => TextArguments.Read([given])).Select(source => (source with { Name = At(source.Name) }).ToString())], Values = values };

        // Names of the hub and of data sets are the same wherever the file lies; a file beside it comes first.
        string At(string source)
        {
            if (source == CalibrationOptions.Self || source.StartsWith(HubName.Scheme, StringComparison.OrdinalIgnoreCase)) return source;
            string beside = Path.Combine(folder, source);
            return !Path.Exists(beside) && TextArguments.Dataset(source) is not null ? source : beside;
        }
    }
}
