namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>
/// Values of a template as Python sees them: string, long, double, bool, null (none), lists, dictionaries with texts as keys, namespaces, <see cref="Undefined"/>,
/// and what <c>TemplateKinds.cs</c> has. Whether they are true, equal, larger, and what they hold.
/// </summary>
internal static class TemplateValue
{
    private const int DeepestNesting = 64;

    public static bool Truth(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        string text => text.Length > 0,
        TemplateMarkup markup => markup.Text.Length > 0,
        long number => number != 0,
        double number => number != 0,
        List<object?> list => list.Count > 0,
        Dictionary<string, object?> map => map.Count > 0,
        _ => true,
    };

    public static bool AreEqual(object? a, object? b, TemplateBudget budget, int depth = 0)
    {
        budget.Look(a, b);
        CheckDepth(depth);
        return (a, b) switch
        {
            (null, null) => true,
            (Undefined, Undefined) => true,
            (string x, string y) => x == y,
            (TemplateMarkup x, string y) => x.Text == y,
            (string x, TemplateMarkup y) => x == y.Text,
            (TemplateMarkup x, TemplateMarkup y) => x.Text == y.Text,
            (long or bool, long or bool) => Whole(a) == Whole(b),
            (long or double or bool, long or double or bool) => Number(a) == Number(b),
            (TemplateSequence { Kind: SequenceKind.View }, List<object?>) or (List<object?>, TemplateSequence { Kind: SequenceKind.View }) => throw Wrong(a is TemplateSequence ? a : b, "is compared, which is not known"),
            (List<object?> x, List<object?> y) => (x as TemplateSequence)?.Kind == (y as TemplateSequence)?.Kind && x.Count == y.Count && Enumerable.Range(0, x.Count).All(i => AreEqual(x[i], y[i], budget, depth + 1)),
            (Dictionary<string, object?> x, Dictionary<string, object?> y) => x.Count == y.Count && x.All(pair => y.TryGetValue(pair.Key, out object? other) && AreEqual(pair.Value, other, budget, depth + 1)),
            _ => ReferenceEquals(a, b),
        };
    }

    /// <summary>Lists in lists in lists, which a loop can make, would end the stack.</summary>
    public static void CheckDepth(int depth)
    {
        if (depth > DeepestNesting) throw new ChatTemplateException($"The chat template makes lists that are nested more than {DeepestNesting} deep.");
    }

    public static double Number(object? value) => value switch
    {
        long number => number,
        double number => number,
        bool flag => flag ? 1 : 0,
        _ => throw Wrong(value, "is no number"),
    };

    /// <summary>Which of two values comes first: numbers, texts, or lists of them.</summary>
    public static int Compare(object? a, object? b, TemplateBudget budget, int depth = 0)
    {
        budget.Look(a, b);
        CheckDepth(depth);
        switch (a, b)
        {
            case (string x, string y):
                return TemplateLetters.Compare(x, y);
            case (List<object?> x, List<object?> y) when (x as TemplateSequence)?.Kind == (y as TemplateSequence)?.Kind && x is not TemplateSequence { Kind: not SequenceKind.Tuple }:
                for (int i = 0; i < Math.Min(x.Count, y.Count); i++)
                {
                    if (!AreEqual(x[i], y[i], budget, depth + 1)) return Compare(x[i], y[i], budget, depth + 1);
                }
                return x.Count.CompareTo(y.Count);
            case (long or bool, long or bool):
                return Whole(a).CompareTo(Whole(b));
            default:
                double left = Number(a), right = Number(b);
                return double.IsNaN(left) || double.IsNaN(right) ? throw new ChatTemplateException("The chat template compares with what is no number.") : left.CompareTo(right);
        }
    }

    public static List<object?> Items(object? value) => value switch
    {
        List<object?> list => list,
        Dictionary<string, object?> map => [.. map.Keys],
        string text => TemplateLetters.Apart(text),
        TemplateStream stream => stream.Rest(),
        Undefined => [],
        _ => throw Wrong(value, "cannot be looped over"),
    };

    public static bool Contains(object? container, object? item, TemplateBudget budget)
    {
        budget.Look(container);
        return container switch
        {
            string text => item switch
            {
                string part => text.Contains(part, StringComparison.Ordinal),
                TemplateMarkup part => text.Contains(part.Text, StringComparison.Ordinal),
                _ => throw Wrong(item, "is looked for in a text"),
            },
            Dictionary<string, object?> when item is Dictionary<string, object?> or (List<object?> and not TemplateSequence) => throw Wrong(item, "that can be no name is looked for in a mapping"),
            Dictionary<string, object?> map => item is string key && map.ContainsKey(key),
            TemplateStream stream => Reaches(stream, item, budget),
            _ => Items(container).Exists(other => AreEqual(other, item, budget)),
        };
    }

    /// <summary>What is wrong with a value.</summary>
    public static ChatTemplateException Wrong(object? value, string rule) =>
        new($"The chat template: {(value is Undefined undefined ? $"'{undefined.Name}', which is not defined," : Kind(value))} {rule}.");

    private static string Kind(object? value) => value switch
    {
        null => "none",
        string => "a text",
        TemplateMarkup => "a text that 'safe' or 'escape' made",
        bool => "true or false",
        long or double => "a number",
        TemplateSequence { Kind: SequenceKind.Range } => "a range",
        TemplateSequence { Kind: SequenceKind.View } => "what 'keys', 'values' or 'items' gives",
        List<object?> => "a list",
        Dictionary<string, object?> => "a mapping",
        TemplateStream => "what a filter such as 'map' or 'select' gives",
        _ => "a value",
    };

    // Up to the one that is found; the others stay.
    private static bool Reaches(TemplateStream stream, object? item, TemplateBudget budget)
    {
        while (stream.Next(out object? other))
        {
            if (AreEqual(other, item, budget)) return true;
        }
        return false;
    }

    private static long Whole(object? value) => value is long number ? number : value is true ? 1 : 0;
}
