namespace LowRankQuant.Quantization.Options;

/// <summary>How choices are spelled: in recipes, on the command line, in messages and in reports.</summary>
public static class Choices
{
    /// <summary>The spelling of a value.</summary>
    public static string Of<T>(IReadOnlyList<KeyValuePair<string, T>> names, T value)
        where T : struct, Enum
    {
        foreach ((string name, T known) in names)
        {
            if (EqualityComparer<T>.Default.Equals(known, value)) return name;
        }
        throw new ArgumentOutOfRangeException(nameof(value), value, "The value has no name.");
    }

    /// <summary>The value of a spelling; null when there is none.</summary>
    public static T? Parse<T>(IReadOnlyList<KeyValuePair<string, T>> names, string text)
        where T : struct, Enum
    {
        foreach ((string name, T value) in names)
        {
            if (name.Equals(text, StringComparison.OrdinalIgnoreCase)) return value;
        }
        return null;
    }

    /// <summary>All spellings, for messages: <c>a, b, c</c>.</summary>
    public static string List<T>(IReadOnlyList<KeyValuePair<string, T>> names) => string.Join(", ", names.Select(pair => pair.Key));
}
