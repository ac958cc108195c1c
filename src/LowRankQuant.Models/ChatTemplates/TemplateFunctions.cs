using System.Text;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>The functions, filters, tests and methods that chat templates use.</summary>
internal static class TemplateFunctions
{
    private const int LongestRange = 10_000;

    private static readonly string[] Filters =
        ["trim", "length", "count", "upper", "lower", "join", "first", "last", "default", "d", "string", "int", "replace", "list", "tojson", "items", "reverse"];

    private static readonly string[] Tests =
        ["defined", "undefined", "none", "string", "number", "boolean", "true", "false", "mapping", "iterable", "sequence", "odd", "even"];

    public static void CheckFilter(string name)
    {
        if (!Filters.Contains(name)) throw new ChatTemplateException($"The chat template: the filter '{name}' is not known; {string.Join(", ", Filters)} are.");
    }

    public static void CheckTest(string name)
    {
        if (!Tests.Contains(name)) throw new ChatTemplateException($"The chat template: the test '{name}' is not known; {string.Join(", ", Tests)} are.");
    }

    public static object? Call(TemplateBudget budget, string name, (string? Name, object? Value)[] arguments)
    {
        switch (name)
        {
            case "raise_exception":
                throw new ChatTemplateException($"The chat template refuses the messages: {TemplateValue.Text(arguments.Select(argument => argument.Value).FirstOrDefault())}");
            case "namespace":
                var space = new TemplateNamespace();
                foreach ((string? key, object? value) in arguments) space.Values[key ?? throw new ChatTemplateException("The chat template: namespace() takes named values.")] = value;
                return space;
            case "range":
                long[] bounds = [.. arguments.Select(argument => (long)TemplateValue.Number(argument.Value))];
                (long from, long to) = bounds is [long end] ? (0, end) : bounds is [long first, long last] ? (first, last)
                    : throw new ChatTemplateException("The chat template: range() takes one or two numbers.");
                // Unsigned, because the difference of two numbers of 64 bits may need all of them.
                ulong length = to > from ? unchecked((ulong)to - (ulong)from) : 0;
                if (length > LongestRange) throw new ChatTemplateException($"The chat template: a range of {length}; at most {LongestRange} are taken.");
                var numbers = new List<object?>();
                for (long i = from; i < to; i++) numbers.Add(i);
                return budget.Pay(numbers);
            default:
                throw new ChatTemplateException($"The chat template: the function '{name}' is not known; raise_exception, namespace and range are.");
        }
    }

    public static object? Filter(TemplateBudget budget, string name, object? value, (string? Name, object? Value)[] arguments)
    {
        budget.Look(value);
        return budget.Pay(name == "tojson" ? TemplateJson.Of(value, arguments, budget) : Filtered(budget, name, value, [.. arguments.Select(argument => argument.Value)]));
    }

    private static object? Filtered(TemplateBudget budget, string name, object? value, object?[] arguments) => name switch
    {
        "trim" => Strip(TemplateValue.Text(value), arguments, start: true, end: true),
        "length" or "count" => value is string text ? text.Length : (long)TemplateValue.Items(value).Count,
        "upper" => TemplateValue.Text(value).ToUpperInvariant(),
        "lower" => TemplateValue.Text(value).ToLowerInvariant(),
        "join" => Join(arguments is [string between, ..] ? between : "", TemplateValue.Items(value)),
        "first" => TemplateValue.Member(value, 0L),
        "last" => TemplateValue.Member(value, -1L),
        "default" or "d" => value is Undefined || (arguments is [_, true] && !TemplateValue.Truth(value)) ? arguments.FirstOrDefault() : value,
        "string" => TemplateValue.Text(value),
        "int" => value is string digits ? (long.TryParse(digits, out long number) ? number : 0L) : (long)TemplateValue.Number(value),
        "replace" => Method(budget, TemplateValue.Text(value), "replace", arguments),
        "items" => Method(budget, value, "items", arguments),
        "reverse" => TemplateValue.Slice(value, null, null, -1L),
        _ => TemplateValue.Items(value).ToList(),
    };

    public static bool Test(string name, object? value) => name switch
    {
        "defined" => value is not Undefined,
        "undefined" => value is Undefined,
        "none" => value is null,
        "string" => value is string,
        "number" => value is long or double,
        "boolean" => value is bool,
        "true" => value is true,
        "false" => value is false,
        "mapping" => value is Dictionary<string, object?>,
        "odd" => Math.Abs(TemplateValue.Number(value)) % 2 == 1,
        "even" => TemplateValue.Number(value) % 2 == 0,
        _ => value is string or List<object?> or Dictionary<string, object?>,
    };

    public static object? Method(TemplateBudget budget, object? value, string name, object?[] arguments)
    {
        budget.Look(value);
        return budget.Pay(Called(value, name, arguments));
    }

    private static object? Called(object? value, string name, object?[] arguments)
    {
        // A count changes the text, and it is not understood.
        if (value is string && ((name == "replace" && arguments.Length > 2) || (name == "split" && arguments.Length > 1)))
        {
            string rule = name == "replace" ? "the text to replace and the new one" : "a separator at most";
            throw new ChatTemplateException($"The chat template: '{name}' has {arguments.Length} arguments; it takes {rule}, without a count.");
        }
        switch (value, name)
        {
            case (string text, "strip"):
                return Strip(text, arguments, start: true, end: true);
            case (string text, "lstrip"):
                return Strip(text, arguments, start: true, end: false);
            case (string text, "rstrip"):
                return Strip(text, arguments, start: false, end: true);
            case (string text, "startswith"):
                return text.StartsWith(Argument(0), StringComparison.Ordinal);
            case (string text, "endswith"):
                return text.EndsWith(Argument(0), StringComparison.Ordinal);
            case (string text, "upper"):
                return text.ToUpperInvariant();
            case (string text, "lower"):
                return text.ToLowerInvariant();
            case (string text, "replace"):
                return Replace(text, Argument(0), Argument(1));
            case (string text, "split"):
                return arguments.Length == 0
                    ? text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(object? (part) => part).ToList()
                    : text.Split(Argument(0) is { Length: > 0 } separator ? separator : throw new ChatTemplateException("The chat template: 'split' needs a separator that is not empty.")).Select(object? (part) => part).ToList();
            case (Dictionary<string, object?> map, "get"):
                return map.TryGetValue(Argument(0), out object? found) ? found : arguments.ElementAtOrDefault(1);
            case (Dictionary<string, object?> map, "items"):
                return map.Select(object? (pair) => new List<object?> { pair.Key, pair.Value }).ToList();
            case (Dictionary<string, object?> map, "keys"):
                return TemplateValue.Items(map);
            default:
                throw TemplateValue.Wrong(value, $"has no method '{name}' that is known");
        }

        string Argument(int i) => i < arguments.Length && arguments[i] is string text ? text : throw new ChatTemplateException($"The chat template: '{name}' needs a text.");
    }

    private static string Strip(string text, object?[] arguments, bool start, bool end)
    {
        char[]? characters = arguments is [string set] ? set.ToCharArray() : null;
        if (start) text = text.TrimStart(characters);
        return end ? text.TrimEnd(characters) : text;
    }

    private static string Join(string between, List<object?> items)
    {
        string[] texts = [.. items.Select(TemplateValue.Text)];
        TemplateBudget.CheckLength(texts.Sum(text => (long)text.Length) + ((long)between.Length * texts.Length));
        return string.Join(between, texts);
    }

    private static string Replace(string text, string old, string with)
    {
        long places = old.Length == 0 ? text.Length + 1L : text.AsSpan().Count(old);
        TemplateBudget.CheckLength(text.Length + (places * (with.Length - (long)old.Length)));
        if (old.Length > 0) return text.Replace(old, with, StringComparison.Ordinal);
        // Nothing stands between any two characters, and at both ends.
        var all = new StringBuilder(with);
        foreach (char c in text) all.Append(c).Append(with);
        return all.ToString();
    }
}
