using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>What <c>namespace()</c> makes: values that loops can change for those behind them.</summary>
internal sealed class TemplateNamespace
{
    public Dictionary<string, object?> Values { get; } = new(StringComparer.Ordinal);
}

/// <summary>
/// Values of a template as Python sees them: string, long, double, bool, null (none), lists, dictionaries, namespaces and <see cref="Undefined"/>.
/// </summary>
internal static class TemplateValue
{
    private const int DeepestNesting = 64;
    private const int MostLetters = 1 << 20;

    public static bool Truth(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        string text => text.Length > 0,
        long number => number != 0,
        double number => number != 0,
        List<object?> list => list.Count > 0,
        Dictionary<string, object?> map => map.Count > 0,
        _ => true,
    };

    public static string Text(object? value) => value switch
    {
        null => "None",
        Undefined => "",
        bool flag => flag ? "True" : "False",
        string text => text,
        long number => number.ToString(CultureInfo.InvariantCulture),
        double number => Python(number),
        _ => throw new ChatTemplateException("The chat template puts out a list or mapping; only texts and numbers are known."),
    };

    // As Python's repr: always with a point or an exponent, which begins at 1e16.
    private static string Python(double number)
    {
        string text = Math.Abs(number) is >= 1e15 and < 1e16 ? number.ToString("F1", CultureInfo.InvariantCulture) : number.ToString("R", CultureInfo.InvariantCulture).Replace('E', 'e');
        return text.AsSpan().ContainsAny(".e") || !double.IsFinite(number) ? text : text + ".0";
    }

    public static bool AreEqual(object? a, object? b, TemplateBudget budget, int depth = 0)
    {
        budget.Look(a, b);
        CheckDepth(depth);
        return (a, b) switch
        {
            (null, null) => true,
            (Undefined, Undefined) => true,
            (string x, string y) => x == y,
            (bool x, bool y) => x == y,
            (long or double, long or double) => Number(a) == Number(b),
            (List<object?> x, List<object?> y) => x.Count == y.Count && x.Zip(y).All(pair => AreEqual(pair.First, pair.Second, budget, depth + 1)),
            _ => false,
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

    public static int Compare(object? a, object? b) => a is string x && b is string y ? string.CompareOrdinal(x, y) : Number(a).CompareTo(Number(b));

    public static List<object?> Items(object? value) => value switch
    {
        List<object?> list => list,
        Dictionary<string, object?> map => [.. map.Keys],
        string text => Letters(text),
        Undefined => [],
        _ => throw Wrong(value, "cannot be looped over"),
    };

    public static bool Contains(object? container, object? item, TemplateBudget budget) => container switch
    {
        string text => item is string part && Paid(budget, text).Contains(part, StringComparison.Ordinal),
        Dictionary<string, object?> map => item is string key && map.ContainsKey(key),
        Undefined => throw Wrong(container, "holds nothing"),
        _ => Items(container).Exists(other => AreEqual(other, item, budget)),
    };

    /// <summary>Two texts behind each other.</summary>
    public static string Joined(string a, string b)
    {
        TemplateBudget.CheckLength((long)a.Length + b.Length);
        return a + b;
    }

    public static object? Add(object? a, object? b) => (a, b) switch
    {
        (string x, string y) => Joined(x, y),
        (List<object?> x, List<object?> y) => Chain(x, y),
        (long x, long y) => x + y,
        _ => Number(a) + Number(b),
    };

    public static object Arithmetic(string sign, object? a, object? b)
    {
        bool whole = a is long && b is long;
        double x = Number(a), y = Number(b);
        if (y == 0 && sign is ("/" or "//" or "%")) throw new ChatTemplateException("The chat template divides by zero.");
        double result = sign switch
        {
            "-" => x - y,
            "*" => x * y,
            "/" => x / y,
            "//" => Math.Floor(x / y),
            _ => x - (y * Math.Floor(x / y)),
        };
        return whole && sign != "/" ? (object)(long)result : result;
    }

    /// <summary>A member by name or index; undefined where there is none.</summary>
    public static object? Member(object? value, object? key)
    {
        switch (value, key)
        {
            case (Dictionary<string, object?> map, string name):
                return map.TryGetValue(name, out object? found) ? found : new Undefined(name);
            case (TemplateNamespace space, string name):
                return space.Values.TryGetValue(name, out object? held) ? held : new Undefined(name);
            case (List<object?> list, long index):
                return At(list.Count, index) is { } i ? list[i] : new Undefined($"[{index}]");
            case (string text, long index):
                return At(text.Length, index) is { } c ? text[c].ToString() : new Undefined($"[{index}]");
            case (Undefined or null, _):
                throw Wrong(value, $"has no member '{(key is string or long ? Text(key) : "?")}'");
            default:
                return new Undefined(key is string or long ? Text(key) : "?");
        }
    }

    /// <summary><c>value[start:stop:step]</c>.</summary>
    public static object Slice(object? value, object? start, object? stop, object? step)
    {
        string? text = value as string;
        List<object?> items = text is null ? Items(value) : [];
        int n = text?.Length ?? items.Count;
        long by = step is null ? 1 : (long)Number(step);
        if (by == 0) throw new ChatTemplateException("The chat template: a slice's step is 0.");
        // A step beyond both ends is as good as any other, and cannot leave 64 bits.
        by = Math.Clamp(by, -(n + 1L), n + 1L);
        long from = Bound(start, by > 0 ? 0 : n - 1), to = Bound(stop, by > 0 ? n : -1);
        var letters = new StringBuilder();
        var chosen = new List<object?>();
        for (long i = from; by > 0 ? i < to : i > to; i += by)
        {
            if (text is not null) letters.Append(text[(int)i]);
            else chosen.Add(items[(int)i]);
        }
        return text is not null ? letters.ToString() : chosen;

        long Bound(object? bound, long otherwise)
        {
            if (bound is null) return otherwise;
            long at = (long)Number(bound);
            if (at < 0) at += n;
            return by > 0 ? Math.Clamp(at, 0, n) : Math.Clamp(at, -1, n - 1);
        }
    }

    private static string Paid(TemplateBudget budget, string text)
    {
        budget.Look(text);
        return text;
    }

    private static List<object?> Letters(string text)
    {
        if (text.Length > MostLetters) throw new ChatTemplateException($"The chat template takes a text of {text.Length} characters apart; at most {MostLetters} are taken.");
        return [.. text.Select(object? (c) => c.ToString())];
    }

    private static List<object?> Chain(List<object?> x, List<object?> y)
    {
        if ((long)x.Count + y.Count > MostLetters) throw new ChatTemplateException($"The chat template makes a list of more than {MostLetters} elements.");
        return [.. x, .. y];
    }

    public static ChatTemplateException Wrong(object? value, string rule) =>
        new($"The chat template: {(value is Undefined undefined ? $"'{undefined.Name}', which is not defined," : value is null ? "none" : "a value")} {rule}.");

    private static int? At(int count, long index) => index < 0 ? (index + count >= 0 ? (int)(index + count) : null) : index < count ? (int)index : null;
}
