namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>The methods of mappings, lists and texts. What changes a value is not there, as in the sandbox that Transformers renders in.</summary>
internal static class TemplateMethods
{
    private static readonly string[] OfMappings = ["get", "items", "keys", "values", "copy", "fromkeys"];
    private static readonly string[] ChangeMappings = ["clear", "pop", "popitem", "setdefault", "update"];
    private static readonly string[] OfLists = ["index", "count", "copy"];
    private static readonly string[] ChangeLists = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];

    // Python has these, and they are not known here: told apart from names that Python does not have either.
    private static readonly string[] OfNumbers =
        ["as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "fromhex", "hex", "imag", "is_integer", "numerator", "real", "to_bytes"];

    /// <summary>A method, bound to its value; undefined where the sandbox hides it; null where there is none of this name.</summary>
    public static object? Find(object? value, string name) => value switch
    {
        string text when TemplateTextMethods.Knows(name) => Bound(name, text, (budget, call) => TemplateTextMethods.Call(budget, text, name, call)),
        Dictionary<string, object?> when ChangeMappings.Contains(name) => new Undefined(name),
        Dictionary<string, object?> map when OfMappings.Contains(name) => Bound(name, map, (budget, call) => OfMapping(budget, map, name, call)),
        TemplateSequence { Kind: SequenceKind.View } => null,
        TemplateSequence when ChangeLists.Contains(name) || name == "copy" => null,
        List<object?> when ChangeLists.Contains(name) => new Undefined(name),
        List<object?> list when OfLists.Contains(name) => Bound(name, list, (budget, call) => OfList(budget, list, name, call)),
        long or double or bool when OfNumbers.Contains(name) => throw new ChatTemplateException($"The chat template: '{name}' of a number is not known."),
        _ => null,
    };

    private static TemplateFunction Bound(string name, object value, Func<TemplateBudget, TemplateCall, object?> call) => new(name, (budget, arguments) =>
    {
        budget.Look(value);
        return call(budget, arguments);
    });

    private static object? OfMapping(TemplateBudget budget, Dictionary<string, object?> map, string name, TemplateCall call)
    {
        IReadOnlyList<object?> arguments = name == "get" ? call.Plain(1, 2) : call.Plain(0, 0);
        budget.Elements(name == "get" ? 0 : map.Count);
        return name switch
        {
            "get" => arguments[0] is string key && map.TryGetValue(key, out object? found) ? found : arguments.ElementAtOrDefault(1),
            "items" => new TemplateSequence(SequenceKind.View, "dict_items", Pairs(map)),
            "keys" => new TemplateSequence(SequenceKind.View, "dict_keys", map.Keys),
            "values" => new TemplateSequence(SequenceKind.View, "dict_values", map.Values),
            "copy" => map,
            _ => throw call.Wrong("is not known"),
        };
    }

    /// <summary>Names and values of a mapping, as pairs.</summary>
    public static IEnumerable<object?> Pairs(Dictionary<string, object?> map) => map.Select(object? (pair) => TemplateSequence.Tuple(pair.Key, pair.Value));

    private static object? OfList(TemplateBudget budget, List<object?> list, string name, TemplateCall call)
    {
        if (name == "copy")
        {
            call.Plain(0, 0);
            return list;
        }
        object? wanted = call.Plain(1, 1)[0];
        if (name == "count") return (long)list.Count(item => TemplateValue.AreEqual(item, wanted, budget));
        int at = list.FindIndex(item => TemplateValue.AreEqual(item, wanted, budget));
        return at >= 0 ? (long)at : throw call.Wrong("does not find the value in the list");
    }
}
