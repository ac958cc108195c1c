using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Functions;

using Filter = TemplateFilters.Filter;

/// <summary>The filters that go through the elements of a value.</summary>
internal static class TemplateListFilters
{
    /// <summary>By name.</summary>
    public static readonly IReadOnlyDictionary<string, Filter> Known = new Dictionary<string, Filter>(StringComparer.Ordinal)
    {
        ["length"] = (_, value, call) => call.Plain(0, 0).Count == 0 ? Length(value) : null,
        ["first"] = (_, value, call) => call.Plain(0, 0).Count == 0 ? First(value) : null,
        ["last"] = (_, value, call) => call.Plain(0, 0).Count == 0 ? Last(value) : null,
        ["list"] = (budget, value, call) => call.Plain(0, 0).Count == 0 ? Items(budget, value).ToList() : null,
        ["items"] = (budget, value, call) => call.Plain(0, 0).Count == 0 ? Pairs(budget, value) : null,
        ["reverse"] = (budget, value, call) => call.Plain(0, 0).Count == 0 ? Reverse(budget, value) : null,
        ["join"] = Join,
        ["sum"] = Sum,
        ["min"] = (budget, value, call) => Extreme(budget, value, call, 1),
        ["max"] = (budget, value, call) => Extreme(budget, value, call, -1),
        ["sort"] = Sort,
        ["dictsort"] = SortMapping,
        ["unique"] = Unique,
        ["batch"] = Batch,
        ["map"] = Map,
        ["select"] = (budget, value, call) => Select(budget, value, call, wanted: true, byAttribute: false),
        ["reject"] = (budget, value, call) => Select(budget, value, call, wanted: false, byAttribute: false),
        ["selectattr"] = (budget, value, call) => Select(budget, value, call, wanted: true, byAttribute: true),
        ["rejectattr"] = (budget, value, call) => Select(budget, value, call, wanted: false, byAttribute: true),
    };

    private static List<object?> Items(TemplateBudget budget, object? value)
    {
        if (value is string text) budget.Elements(text.Length);
        return TemplateValue.Items(value);
    }

    private static long Length(object? value) => value switch
    {
        string text => (long)TemplateLetters.Count(text),
        TemplateMarkup markup => (long)TemplateLetters.Count(markup.Text),
        TemplateStream => throw TemplateValue.Wrong(value, "has no length; 'list' makes a list of it"),
        List<object?> list => (long)list.Count,
        Dictionary<string, object?> map => (long)map.Count,
        Undefined => 0L,
        _ => throw TemplateValue.Wrong(value, "has no length"),
    };

    private static object? First(object? value) => value switch
    {
        TemplateStream stream => stream.Next(out object? next) ? next : new Undefined("first"),
        List<object?> list => list.Count > 0 ? list[0] : new Undefined("first"),
        string text => TemplateMembers.Item(text, 0L),
        _ => TemplateValue.Items(value) is [var first, ..] ? first : new Undefined("first"),
    };

    private static object? Last(object? value) => value switch
    {
        TemplateStream => throw TemplateValue.Wrong(value, "has no last element; 'list' makes a list of it"),
        string text => TemplateMembers.Item(text, -1L),
        _ => TemplateValue.Items(value) is [.., var last] ? last : new Undefined("last"),
    };

    private static TemplateStream Pairs(TemplateBudget budget, object? value)
    {
        if (value is Undefined) return new TemplateStream([]);
        if (value is not Dictionary<string, object?> map) throw TemplateValue.Wrong(value, "that is no mapping has no items");
        budget.Elements(map.Count);
        return new TemplateStream(TemplateMethods.Pairs(map));
    }

    private static object Reverse(TemplateBudget budget, object? value)
    {
        if (value is string) return TemplateMembers.Slice(value, null, null, -1L);
        List<object?> items = [.. Items(budget, value)];
        items.Reverse();
        // Python makes a list of what it cannot read backwards, and else goes through it as it is.
        return value is TemplateStream ? items : new TemplateStream(items);
    }

    private static string Join(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("d", ""), ("attribute", null));
        Func<object?, object?> path = TemplateMembers.Path(call, given[1]);
        var texts = new List<string>();
        long length = 0;
        foreach (object? item in Items(budget, value))
        {
            texts.Add(TemplateText.Of(path(item), budget));
            TemplateBudget.CheckLength(length += texts[^1].Length);
        }
        return TemplateTextMethods.Join(TemplateText.Of(given[0], budget), texts);
    }

    private static object? Sum(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("attribute", null), ("start", 0L));
        Func<object?, object?> path = TemplateMembers.Path(call, given[0]);
        if (given[1] is string) throw call.Wrong("is of numbers or lists; 'join' is of texts");
        object? sum = given[1];
        double precise = 0, lost = 0;
        foreach (object? item in Items(budget, value))
        {
            budget.Spend();
            object? part = path(item);
            sum = TemplateArithmetic.Add(sum, part, budget);
            if (sum is not double) continue;
            // What newer versions of Python add up, which keep what is rounded away.
            double next = TemplateValue.Number(part), together = precise + next;
            lost += Math.Abs(precise) >= Math.Abs(next) ? precise - together + next : next - together + precise;
            precise = together;
        }
        return sum is double plain && given[1] is 0L && plain != precise + lost && Items(budget, value).TrueForAll(item => path(item) is double)
            ? throw call.Wrong("of these numbers is another one in newer versions of Python than in older ones")
            : sum;
    }

    private static object? Extreme(TemplateBudget budget, object? value, TemplateCall call, int sign)
    {
        object?[] given = call.Bind(("case_sensitive", false), ("attribute", null));
        Func<object?, object?> key = Key(TemplateMembers.Path(call, given[1]), given[0]);
        List<object?> items = Items(budget, value);
        if (items.Count == 0) return new Undefined(sign > 0 ? "min" : "max");
        (object? best, object? bestKey) = (items[0], key(items[0]));
        foreach (object? item in items.Skip(1))
        {
            object? other = key(item);
            if (TemplateValue.Compare(other, bestKey, budget) * sign < 0) (best, bestKey) = (item, other);
        }
        return best;
    }

    private static List<object?> Sort(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("reverse", false), ("case_sensitive", false), ("attribute", null));
        object?[] names = given[2] is string several ? [.. several.Split(',')] : [given[2]];
        Func<object?, object?>[] keys = [.. names.Select(name => Key(TemplateMembers.Path(call, name), given[1]))];
        return Sorted(budget, Items(budget, value), item => keys.Length == 1 ? keys[0](item) : keys.Select(key => key(item)).ToList(), TemplateValue.Truth(given[0]));
    }

    private static List<object?> SortMapping(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("case_sensitive", false), ("by", "key"), ("reverse", false));
        if (value is not Dictionary<string, object?> map) throw TemplateValue.Wrong(value, "that is no mapping is sorted as one");
        if (given[1] is not ("key" or "value")) throw call.Wrong("is by 'key' or by 'value'");
        budget.Elements(map.Count);
        return Sorted(budget, [.. TemplateMethods.Pairs(map)], Key(pair => ((List<object?>)pair!)[given[1] is "key" ? 0 : 1], given[0]), TemplateValue.Truth(given[2]));
    }

    private static Func<object?, object?> Key(Func<object?, object?> path, object? caseSensitive) =>
        TemplateValue.Truth(caseSensitive) ? path : item => path(item) is var key && key is string text ? TemplateLetters.Lower(text) : key;

    // Merged from halves, so that what is equal stays in order, and a comparison that fails says why.
    private static List<object?> Sorted(TemplateBudget budget, List<object?> items, Func<object?, object?> key, bool reverse)
    {
        budget.Elements(items.Count);
        (object? Item, object? Key)[] from = [.. items.Select(item => (item, key(item)))], to = new (object?, object?)[from.Length];
        for (int width = 1; width < from.Length; width *= 2)
        {
            for (int start = 0; start < from.Length; start += 2 * width)
            {
                int middle = Math.Min(start + width, from.Length), end = Math.Min(start + (2 * width), from.Length);
                for (int a = start, b = middle, i = start; i < end; i++) to[i] = b >= end || (a < middle && !Comes(from[b].Key, from[a].Key)) ? from[a++] : from[b++];
            }
            (from, to) = (to, from);
        }
        return [.. from.Select(pair => pair.Item)];

        bool Comes(object? later, object? earlier)
        {
            // Keys of several parts may hold what cannot be compared, as long as it is equal.
            if (later is null or Undefined && TemplateValue.AreEqual(later, earlier, budget)) return false;
            int order = TemplateValue.Compare(later, earlier, budget);
            return reverse ? order > 0 : order < 0;
        }
    }

    private static TemplateStream Unique(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("case_sensitive", false), ("attribute", null));
        Func<object?, object?> key = Key(TemplateMembers.Path(call, given[1]), given[0]);
        var seen = new HashSet<object>();
        List<object?> chosen = [.. Items(budget, value).Where(item =>
        {
            object? by = key(item);
            budget.Look(by);
            return seen.Add(by switch
            {
                string text => text,
                // Numbers that are equal are one, true and false among them.
                long or bool => TemplateArithmetic.Positive(by),
                double number => number == Math.Floor(number) && Math.Abs(number) < 9e18 ? (object)(long)number : number,
                null => seen,
                _ => throw call.Wrong("knows texts, numbers, true, false and none"),
            });
        })];
        return new TemplateStream(chosen);
    }

    private static TemplateStream Batch(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("linecount", TemplateCall.Required), ("fill_with", null));
        long count = call.Whole(given[0]);
        if (count < 1) throw call.Wrong("takes 1 element or more at a time");
        var batches = new List<object?>();
        var batch = new List<object?>();
        foreach (object? item in Items(budget, value))
        {
            budget.Elements(1);
            if (batch.Count == count)
            {
                batches.Add(batch);
                batch = [];
            }
            batch.Add(item);
        }
        if (batch.Count > 0) batches.Add(batch);
        long missing = batch.Count > 0 && given[1] is not null ? count - batch.Count : 0;
        budget.Elements(missing);
        batch.AddRange(Enumerable.Repeat(given[1], (int)missing));
        return new TemplateStream(batches);
    }

    private static TemplateStream Map(TemplateBudget budget, object? value, TemplateCall call)
    {
        Func<object?, object?> change;
        if (call.Positional.Count == 0)
        {
            var named = call.Named.ToDictionary(argument => argument.Name, argument => argument.Value, StringComparer.Ordinal);
            if (!named.TryGetValue("attribute", out object? path) || named.Keys.Any(name => name is not ("attribute" or "default"))) throw call.Wrong("takes a filter's name, or attribute and default");
            change = TemplateMembers.Path(call, path, named.GetValueOrDefault("default"));
        }
        else
        {
            string name = call.Text(call.Positional[0]);
            TemplateFilters.Check(name);
            TemplateCall inner = call.From($"the filter '{name}'", 1);
            change = item => TemplateFilters.Apply(budget, name, item, inner);
        }
        return new TemplateStream(Each(budget, value).Select(change));
    }

    // One by one, and nothing of what is false.
    private static IEnumerable<object?> Each(TemplateBudget budget, object? value)
    {
        if (!TemplateValue.Truth(value)) yield break;
        if (value is TemplateStream stream)
        {
            while (stream.Next(out object? next))
            {
                budget.Spend();
                yield return next;
            }
            yield break;
        }
        foreach (object? item in Items(budget, value))
        {
            budget.Spend();
            yield return item;
        }
    }

    private static TemplateStream Select(TemplateBudget budget, object? value, TemplateCall call, bool wanted, bool byAttribute)
    {
        int first = byAttribute ? 1 : 0;
        if (call.Positional.Count < first) throw call.Wrong("needs the name of an attribute");
        Func<object?, object?> path = byAttribute ? TemplateMembers.Path(call, call.Positional[0]) : item => item;
        Func<object?, bool> test = TemplateValue.Truth;
        if (call.Positional.Count > first)
        {
            string name = call.Text(call.Positional[first]);
            TemplateTests.Check(name);
            TemplateCall inner = call.From($"the test '{name}'", first + 1);
            test = item => TemplateTests.Holds(budget, name, item, inner);
        }
        return new TemplateStream(Each(budget, value).Where(item => test(path(item)) == wanted));
    }
}
