using System.Runtime.CompilerServices;
using System.Text;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>
/// Work that rendering may take. A template comes with a model from anywhere, and a few of its words can ask for more than any machine has: nested
/// loops, a text doubled in a loop, macros that call each other. Real templates need some thousand steps.
/// </summary>
internal sealed class TemplateBudget
{
    /// <summary>Longest text, in characters, and longest list.</summary>
    public const int Longest = 1 << 24;

    /// <summary>What an element of a list takes, as so many characters.</summary>
    public const long UnitsPerElement = 64;

    private const int UnitsPerStep = 512;
    private const int MostSteps = 1 << 18;
    private const int DeepestCalls = 64;

    private int _left = MostSteps;
    private int _calls;

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

    /// <summary>Pays for elements before they are made: a list of short texts takes many times what the text that it is cut from takes.</summary>
    public void Elements(long count) => Spend(UnitsPerElement * count);

    /// <summary>Puts a part behind a text, paid for, and refused where the text would be too long.</summary>
    public void Append(StringBuilder text, string part)
    {
        Spend(part.Length);
        CheckLength((long)text.Length + part.Length);
        text.Append(part);
    }

    /// <summary>Begins a call of a macro, which may call itself.</summary>
    /// <exception cref="ChatTemplateException">Too many are within each other.</exception>
    public void Enter(string macro)
    {
        if (++_calls > DeepestCalls) throw new ChatTemplateException($"The chat template: the macro '{macro}' is called within macros that are more than {DeepestCalls} deep in each other.");
    }

    /// <summary>Ends a call of a macro.</summary>
    public void Leave() => _calls--;

    /// <summary>Refuses a text before it is made.</summary>
    /// <exception cref="ChatTemplateException">It would be too long.</exception>
    public static void CheckLength(long characters)
    {
        if (characters > Longest) throw new ChatTemplateException($"The chat template makes a text of more than {Longest} characters.");
    }

    /// <summary>Refuses to go on where little of the stack is left: bounds of depth count calls, and not what blocks and expressions between them take.</summary>
    /// <exception cref="ChatTemplateException">There is too little.</exception>
    public static void CheckStack()
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw new ChatTemplateException("The chat template nests blocks, expressions and calls too deep in each other.");
    }

    private static long Size(object? value) => value switch
    {
        string text => text.Length,
        TemplateMarkup markup => markup.Text.Length,
        // With what its elements take.
        List<object?> list => UnitsPerElement * list.Count,
        Dictionary<string, object?> map => map.Count,
        _ => 0,
    };
}
