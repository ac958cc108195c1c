namespace LowRankQuant.Quantization.Options;

/// <summary>What was asked for of the options of a method; what is no value has been told as a problem and counts as not asked for.</summary>
public sealed class OptionValues
{
    private readonly Dictionary<string, string> _given = new(StringComparer.Ordinal);

    /// <summary>Reads texts by key.</summary>
    /// <param name="given">Texts by key; keys of no option are left to the caller.</param>
    /// <param name="options">The options.</param>
    /// <param name="problems">Receives what is wrong with a text.</param>
    public OptionValues(IReadOnlyDictionary<string, string> given, IReadOnlyList<RecipeOption> options, List<string> problems)
    {
        foreach (RecipeOption option in options)
        {
            if (!given.TryGetValue(option.Key, out string? text)) continue;
            if (option.Problem(text) is { } problem) problems.Add($"`{option.Key}` {text}: {problem}.");
            else _given.Add(option.Key, text);
        }
    }

    /// <summary>Whether a value was asked for.</summary>
    public bool Has(RecipeOption option) => _given.ContainsKey(option.Key);

    /// <summary>The value that was asked for; null where none was.</summary>
    public T? Find<T>(RecipeOption<T> option)
        where T : struct => _given.TryGetValue(option.Key, out string? text) ? option.Parse(text) : null;

    /// <summary>The value that was asked for, else another.</summary>
    public T Or<T>(RecipeOption<T> option, T fallback)
        where T : struct => Find(option) ?? fallback;

    /// <summary>The text of what was asked for, for messages.</summary>
    public string? Text(RecipeOption option) => _given.GetValueOrDefault(option.Key);
}
