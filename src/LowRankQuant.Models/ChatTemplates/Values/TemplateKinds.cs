namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>A name or member that does not exist: false, empty, and an error where something is asked of it.</summary>
/// <param name="Name">For messages.</param>
internal sealed record Undefined(string Name);

/// <summary>What <c>namespace()</c> makes: values that loops can change for those behind them.</summary>
internal sealed class TemplateNamespace
{
    public Dictionary<string, object?> Values { get; } = new(StringComparer.Ordinal);
}

/// <summary>Which of the lists a <see cref="TemplateSequence"/> is.</summary>
internal enum SequenceKind
{
    /// <summary>As <c>(1, 2)</c> makes it.</summary>
    Tuple,

    /// <summary>As <c>range(2)</c> makes it.</summary>
    Range,

    /// <summary>As <c>items()</c> of a mapping makes it; has no elements by index.</summary>
    View,
}

/// <summary>A list that Python tells from lists: it equals none, and is put out in its own way.</summary>
/// <param name="kind">Which.</param>
/// <param name="shown">How it begins where it is put out, such as <c>dict_items</c>; for a range all of it.</param>
/// <param name="items">Its elements.</param>
internal sealed class TemplateSequence(SequenceKind kind, string shown, IEnumerable<object?> items) : List<object?>(items)
{
    public SequenceKind Kind { get; } = kind;

    public string Shown { get; } = shown;

    public static TemplateSequence Tuple(params IEnumerable<object?> items) => new(SequenceKind.Tuple, "", items);
}

/// <summary>What filters such as <c>map</c> and <c>select</c> make: elements that are worked out when they are asked for, once; true, without a length, and without elements by index.</summary>
internal sealed class TemplateStream(IEnumerable<object?> items)
{
    private readonly IEnumerator<object?> _items = items.GetEnumerator();

    /// <summary>All that are left; behind it there are none.</summary>
    public List<object?> Rest()
    {
        var rest = new List<object?>();
        while (Next(out object? item)) rest.Add(item);
        return rest;
    }

    /// <summary>The next one.</summary>
    public bool Next(out object? item)
    {
        // A stream may be of a stream, and so on.
        TemplateBudget.CheckStack();
        bool more = _items.MoveNext();
        item = more ? _items.Current : null;
        return more;
    }
}

/// <summary>
/// A text that <c>safe</c> or <c>escape</c> made. Jinja escapes what is joined to it by <c>+</c> and what most filters and methods make of it, even where texts
/// are no HTML; so it can be put out and tested, and all else is refused.
/// </summary>
/// <param name="Text">The text.</param>
internal sealed record TemplateMarkup(string Text);

/// <summary>What can be called: a function, a macro, or a method of a value.</summary>
/// <param name="name">Its name, for messages.</param>
/// <param name="call">What it does.</param>
internal sealed class TemplateFunction(string name, Func<TemplateBudget, TemplateCall, object?> call)
{
    public string Name { get; } = name;

    public object? Call(TemplateBudget budget, TemplateCall arguments)
    {
        TemplateBudget.CheckStack();
        budget.Elements(arguments.Count);
        return budget.Pay(call(budget, arguments));
    }
}
