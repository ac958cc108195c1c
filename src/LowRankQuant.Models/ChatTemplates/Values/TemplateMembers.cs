using System.Text;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>Members of values by name or index, and slices, as Jinja looks for them: behind a point methods come first, in brackets elements.</summary>
internal static class TemplateMembers
{
    /// <summary><c>value.name</c>; undefined where there is none.</summary>
    public static object? Attribute(object? value, string name) => Own(value, name) ?? (value switch
    {
        Dictionary<string, object?> map when map.TryGetValue(name, out object? found) => found,
        TemplateNamespace space when space.Values.TryGetValue(name, out object? held) => held,
        _ => new Undefined(name),
    });

    /// <summary>What a value has of this name beside elements: a method, or a member of a loop; null where there is none.</summary>
    public static object? Own(object? value, string name) => value switch
    {
        Undefined => throw TemplateValue.Wrong(value, $"has no member '{name}'"),
        TemplateFunction function => throw new ChatTemplateException($"The chat template: '{function.Name}' has no member '{name}' that is known."),
        TemplateMarkup or TemplateStream => throw TemplateValue.Wrong(value, $"has no member '{name}' that is known"),
        TemplateLoop loop => loop.Member(name),
        _ => TemplateMethods.Find(value, name),
    };

    /// <summary><c>value[key]</c>; undefined where there is none.</summary>
    public static object? Item(object? value, object? key)
    {
        if (key is bool flag) key = flag ? 1L : 0L;
        switch (value, key)
        {
            case (Undefined, _):
                throw TemplateValue.Wrong(value, $"has no member '{(key is string or long ? key : "?")}'");
            case (Dictionary<string, object?> map, string name) when map.TryGetValue(name, out object? found):
                return found;
            case (_, string name):
                return Attribute(value, name);
            case (TemplateSequence { Kind: SequenceKind.View }, _):
                return new Undefined("[...]");
            case (List<object?> list, long index):
                return At(list.Count, index) is { } i ? list[i] : new Undefined($"[{index}]");
            case (string text, long index) when TemplateLetters.HasPairs(text):
                return Item(TemplateLetters.Apart(text), index);
            case (string text, long index):
                return At(text.Length, index) is { } c ? text[c].ToString() : new Undefined($"[{index}]");
            case (TemplateMarkup, _):
                throw TemplateValue.Wrong(value, "is cut, which is not known");
            default:
                return new Undefined(key is long number ? $"[{number}]" : "[...]");
        }
    }

    /// <summary>The members that a path such as <c>function.name</c> or <c>0</c> leads to; what filters call an attribute.</summary>
    public static Func<object?, object?> Path(TemplateCall call, object? path, object? otherwise = null)
    {
        object[] parts = path switch
        {
            null => [],
            string names => [.. names.Split('.').Select(object (part) => part.Length is > 0 and < 18 && part.All(char.IsAsciiDigit) ? long.Parse(part, System.Globalization.CultureInfo.InvariantCulture) : part)],
            long index => [index],
            _ => throw call.Wrong("needs a name as attribute"),
        };
        return item =>
        {
            foreach (object part in parts)
            {
                item = Item(item, part);
                if (otherwise is not null && item is Undefined) item = otherwise;
            }
            return item;
        };
    }

    /// <summary><c>value[start:stop:step]</c>.</summary>
    public static object Slice(object? value, object? start, object? stop, object? step)
    {
        string? text = value as string;
        bool pairs = text is not null && TemplateLetters.HasPairs(text);
        if (value is not (string or List<object?>) || value is TemplateSequence { Kind: SequenceKind.View }) throw TemplateValue.Wrong(value, "is cut, which is neither a text nor a list");
        List<object?> items = text is null || pairs ? TemplateValue.Items(value) : [];
        int n = text is null || pairs ? items.Count : text.Length;
        long by = step is null ? 1 : Whole(step);
        if (by == 0) throw new ChatTemplateException("The chat template: a slice's step is 0.");
        // A step beyond both ends is as good as any other, and cannot leave 64 bits.
        by = Math.Clamp(by, -(n + 1L), n + 1L);
        long from = Bound(start, by > 0 ? 0 : n - 1), to = Bound(stop, by > 0 ? n : -1);
        if (text is not null && !pairs && by == 1) return to > from ? text[(int)from..(int)to] : "";
        var letters = new StringBuilder();
        var chosen = new List<object?>();
        for (long i = from; by > 0 ? i < to : i > to; i += by)
        {
            if (text is null) chosen.Add(items[(int)i]);
            else if (pairs) letters.Append((string)items[(int)i]!);
            else letters.Append(text[(int)i]);
        }
        if (text is not null) return letters.ToString();
        return value is TemplateSequence sequence ? new TemplateSequence(sequence.Kind, "", chosen) : chosen;

        long Bound(object? bound, long otherwise)
        {
            if (bound is null) return otherwise;
            long at = Whole(bound);
            if (at < 0) at += n;
            return by > 0 ? Math.Clamp(at, 0, n) : Math.Clamp(at, -1, n - 1);
        }
    }

    private static long Whole(object? value) => value switch
    {
        long number => number,
        bool flag => flag ? 1 : 0,
        _ => throw TemplateValue.Wrong(value, "is no whole number, as slices need"),
    };

    private static int? At(int count, long index) => index < 0 ? (index + count >= 0 ? (int)(index + count) : null) : index < count ? (int)index : null;
}
