using System.Reflection;

namespace LowRankQuant.Quantization.Recipes.Files;

/// <summary>The recipes that ship with the tool, each a file of <c>Recipes/Files/Ready</c>.</summary>
public static class ReadyRecipes
{
    private const string Prefix = "LowRankQuant.Quantization.Recipes.Ready.", End = ".yaml";

    private static Assembly Here => typeof(ReadyRecipes).Assembly;

    /// <summary>Their names.</summary>
    public static IReadOnlyList<string> Names =>
        [.. Here.GetManifestResourceNames().Where(name => name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(End, StringComparison.Ordinal))
            .Select(name => name[Prefix.Length..^End.Length]).Order(StringComparer.Ordinal)];

    /// <summary>The text of one; null where there is none of the name.</summary>
    public static string? Find(string name)
    {
        using Stream? stream = Here.GetManifestResourceStream($"{Prefix}{name}{End}");
        if (stream is null) return null;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    /// <summary>What one is for: the comment it begins with.</summary>
    public static string Summary(string name) => Find(name)?.Split('\n')[0].TrimStart('#', ' ') ?? "";
}
