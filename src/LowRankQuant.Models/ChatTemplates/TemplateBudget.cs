namespace LowRankQuant.Models.ChatTemplates;

/// <summary>
/// Work that rendering may take. A template comes with a model from anywhere, and a few of its words can ask for more than any machine has: nested
/// loops, a text doubled in a loop. Real templates need some thousand steps.
/// </summary>
internal sealed class TemplateBudget
{
    /// <summary>Longest text, in characters, and longest list.</summary>
    public const int Longest = 1 << 24;

    private const int UnitsPerStep = 512;
    private const int MostSteps = 1 << 18;

    private int _left = MostSteps;

    /// <summary>Takes a step, and one more for every 512 characters or 8 elements that are looked at or made.</summary>
    /// <exception cref="ChatTemplateException">There are none left.</exception>
    public void Spend(long units = 0)
    {
        long steps = 1 + (units / UnitsPerStep);
        if (steps > _left) throw new ChatTemplateException($"The chat template takes more than {MostSteps} steps.");
        _left -= (int)steps;
    }

    /// <summary>Pays for a value that was made, and gives it back.</summary>
    public T Pay<T>(T value)
    {
        Spend(Size(value));
        return value;
    }

    /// <summary>Pays for values that are looked at.</summary>
    public void Look(object? a, object? b = null) => Spend(Size(a) + Size(b));

    /// <summary>Refuses a text before it is made.</summary>
    /// <exception cref="ChatTemplateException">It would be too long.</exception>
    public static void CheckLength(long characters)
    {
        if (characters > Longest) throw new ChatTemplateException($"The chat template makes a text of more than {Longest} characters.");
    }

    private static long Size(object? value) => value switch
    {
        string text => text.Length,
        // With what its elements take.
        List<object?> list => 64L * list.Count,
        Dictionary<string, object?> map => map.Count,
        _ => 0,
    };
}
