using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Functions;

/// <summary>The functions that templates have by name, beside their own macros.</summary>
internal static class TemplateFunctions
{
    private const int LongestRange = 10_000;

    private static readonly Dictionary<string, TemplateFunction> Known = new[]
    {
        new TemplateFunction("raise_exception", (budget, call) => throw new ChatTemplateException($"The chat template refuses the messages: {TemplateText.Of(call.Bind(("message", ""))[0], budget)}")),
        new TemplateFunction("namespace", (_, call) => Namespace(call)),
        new TemplateFunction("dict", (_, call) => Mapping(call)),
        new TemplateFunction("range", Range),
    }.ToDictionary(function => function.Name, StringComparer.Ordinal);

    /// <summary>A function; null where there is none of this name.</summary>
    public static TemplateFunction? Find(string name) => Known.GetValueOrDefault(name);

    /// <summary>Calls what an expression came to.</summary>
    /// <param name="called">The function.</param>
    /// <param name="name">How it is called in the template.</param>
    /// <param name="isMethod">Whether it is a method of a value.</param>
    /// <param name="budget">What the template may take.</param>
    /// <param name="call">The arguments.</param>
    public static object? Call(object? called, string name, bool isMethod, TemplateBudget budget, TemplateCall call) => called switch
    {
        TemplateFunction function => function.Call(budget, call),
        Undefined when isMethod => throw new ChatTemplateException($"The chat template: a value has no method '{name}' that is known."),
        Undefined { Name: TemplateClock.Name } => throw TemplateClock.Missing(),
        Undefined => throw new ChatTemplateException($"The chat template: the function '{name}' is not known; {string.Join(", ", Known.Keys)}, {TemplateClock.Name} and the template's macros are."),
        _ => throw new ChatTemplateException($"The chat template: '{name}' is no function that can be called."),
    };

    private static TemplateNamespace Namespace(TemplateCall call)
    {
        var space = new TemplateNamespace();
        foreach ((string key, object? value) in Mapping(call)) space.Values[key] = value;
        return space;
    }

    // Of a mapping, or of pairs, and of named values.
    private static Dictionary<string, object?> Mapping(TemplateCall call)
    {
        if (call.Positional.Count > 1) throw call.Wrong("takes one mapping at most, and named values");
        var map = new Dictionary<string, object?>(StringComparer.Ordinal);
        switch (call.First)
        {
            case Dictionary<string, object?> given:
                foreach ((string key, object? value) in given) map[key] = value;
                break;
            case List<object?> pairs:
                foreach (object? pair in pairs)
                    map[pair is List<object?> { Count: 2 } and [string, _] ? (string)((List<object?>)pair)[0]! : throw call.Wrong("needs pairs of a text and a value")] = ((List<object?>)pair)[1];
                break;
            case null when call.Positional.Count == 0:
                break;
            default:
                throw call.Wrong("needs a mapping, or pairs");
        }
        foreach ((string key, object? value) in call.Named) map[key] = value;
        return map;
    }

    private static TemplateSequence Range(TemplateBudget budget, TemplateCall call)
    {
        long[] bounds = [.. call.Plain(1, 3).Select(call.Whole)];
        (long from, long to, long by) = bounds switch { [long end] => (0, end, 1), [long first, long last] => (first, last, 1), _ => (bounds[0], bounds[1], bounds[2]) };
        if (by == 0) throw call.Wrong("has a step of 0");
        // 128 bits, because the difference of two numbers of 64 may need one more.
        Int128 length = by > 0 ? ((Int128)to - from + by - 1) / by : ((Int128)from - to - by - 1) / -(Int128)by;
        if (length > LongestRange) throw new ChatTemplateException($"The chat template: a range of {length}; at most {LongestRange} are taken.");
        budget.Elements((long)Int128.Max(length, 0));
        var numbers = new List<object?>();
        for (int i = 0; i < length; i++) numbers.Add(from + (i * by));
        return new TemplateSequence(SequenceKind.Range, by == 1 ? $"range({from}, {to})" : $"range({from}, {to}, {by})", numbers);
    }
}
