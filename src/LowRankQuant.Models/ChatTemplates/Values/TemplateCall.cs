namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>What a function, macro, filter, test or method is called with.</summary>
/// <param name="what">What is called, for messages, such as <c>the filter 'round'</c>.</param>
/// <param name="positional">Arguments without names.</param>
/// <param name="named">Arguments with names.</param>
internal sealed class TemplateCall(string what, IReadOnlyList<object?> positional, IReadOnlyList<(string Name, object? Value)> named)
{
    /// <summary>Stands for the default of a parameter that has none.</summary>
    public static readonly object Required = new();

    /// <summary>Stands for what is not given, where a default is worked out only then.</summary>
    public static readonly object Absent = new();

    /// <summary>What is called, for messages.</summary>
    public string What { get; } = what;

    /// <summary>Arguments without names.</summary>
    public IReadOnlyList<object?> Positional { get; } = positional;

    /// <summary>The first of them; null where there is none.</summary>
    public object? First => Positional.Count > 0 ? Positional[0] : null;

    /// <summary>Arguments with names.</summary>
    public IReadOnlyList<(string Name, object? Value)> Named { get; } = named;

    /// <summary>How many arguments there are.</summary>
    public int Count => Positional.Count + Named.Count;

    /// <summary>A value for every parameter, as Python gives them.</summary>
    /// <param name="parameters">Their names and what they are where they are not given; <see cref="Required"/> where they have to be.</param>
    /// <exception cref="ChatTemplateException">There are too many arguments, one that no parameter is called after, one twice, or too few.</exception>
    public object?[] Bind(params ReadOnlySpan<(string Name, object? Otherwise)> parameters)
    {
        if (Positional.Count > parameters.Length) throw Wrong($"takes {parameters.Length} arguments at most, and is given {Positional.Count}");
        var values = new object?[parameters.Length];
        for (int i = 0; i < values.Length; i++) values[i] = i < Positional.Count ? Positional[i] : parameters[i].Otherwise;
        var given = new HashSet<string>(StringComparer.Ordinal);
        foreach ((string name, object? value) in Named)
        {
            int at = 0;
            while (at < parameters.Length && parameters[at].Name != name) at++;
            if (at == parameters.Length) throw Wrong($"takes no argument '{name}'");
            if (at < Positional.Count || !given.Add(name)) throw Wrong($"is given '{name}' twice");
            values[at] = value;
        }
        for (int i = 0; i < values.Length; i++)
        {
            if (ReferenceEquals(values[i], Required)) throw Wrong($"needs the argument '{parameters[i].Name}'");
        }
        return values;
    }

    /// <summary>The arguments of a method of Python's own, which take no names.</summary>
    /// <param name="least">How many there have to be.</param>
    /// <param name="most">How many there may be.</param>
    public IReadOnlyList<object?> Plain(int least, int most)
    {
        if (Named.Count > 0) throw Wrong($"takes no argument '{Named[0].Name}' that is known");
        if (Positional.Count >= least && Positional.Count <= most) return Positional;
        throw Wrong($"takes {(least == most ? $"{least}" : $"{least} to {most}")} arguments, and is given {Positional.Count}");
    }

    /// <summary>The same with the first arguments left out.</summary>
    public TemplateCall From(string other, int first) => new(other, [.. Positional.Skip(first)], Named);

    /// <summary>A text that has to be one.</summary>
    public string Text(object? value) => value as string ?? throw Wrong("needs a text");

    /// <summary>A whole number that has to be one.</summary>
    public long Whole(object? value) => value switch
    {
        long number => number,
        bool flag => flag ? 1 : 0,
        _ => throw Wrong("needs a whole number"),
    };

    /// <summary>What is wrong with the call.</summary>
    public ChatTemplateException Wrong(string rule) => new($"The chat template: {What} {rule}.");
}
