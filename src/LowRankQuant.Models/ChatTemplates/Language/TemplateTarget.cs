using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

/// <summary>What <c>set</c> and <c>for</c> give a value to: a name, a member of a namespace, or several names that share the elements of a list.</summary>
internal sealed class TemplateTarget
{
    private const int DeepestNesting = 8;

    private readonly string _name;
    private readonly string? _member;
    private readonly List<TemplateTarget>? _parts;

    private TemplateTarget(string name, string? member, List<TemplateTarget>? parts) => (_name, _member, _parts) = (name, member, parts);

    /// <summary>Whether it is more than one name.</summary>
    public bool HasParts => _parts is not null;

    /// <summary>Reads names that stand side by side.</summary>
    /// <param name="reader">Where.</param>
    /// <param name="members">Whether it may be a member of a namespace.</param>
    public static TemplateTarget Read(ExpressionParser reader, bool members) => Several(reader, members, 0);

    /// <summary>Gives it a value.</summary>
    /// <exception cref="ChatTemplateException">There are more names than elements, or less, or what has the member is no namespace.</exception>
    public void Assign(TemplateScope scope, object? value)
    {
        if (_parts is not null)
        {
            List<object?> items = scope.Budget.Pay(TemplateValue.Items(value));
            if (items.Count != _parts.Count) throw new ChatTemplateException($"The chat template: {_parts.Count} names ({_name}) get the {items.Count} elements of a list.");
            for (int i = 0; i < items.Count; i++) _parts[i].Assign(scope, items[i]);
        }
        else if (_member is null) scope.Set(_name, value);
        else if (scope.Get(_name) is TemplateNamespace target) target.Values[_member] = value;
        else throw new ChatTemplateException($"The chat template: '{_name}.{_member}' can be set of a namespace only.");
    }

    private static TemplateTarget Several(ExpressionParser reader, bool members, int depth)
    {
        TemplateTarget first = One(reader, members, depth);
        if (first._member is not null || !reader.Take(",")) return first;
        List<TemplateTarget> parts = [first];
        while (reader.AtTarget)
        {
            parts.Add(One(reader, false, depth));
            if (!reader.Take(",")) break;
        }
        return new TemplateTarget(string.Join(", ", parts.Select(part => part._name)), null, parts);
    }

    private static TemplateTarget One(ExpressionParser reader, bool members, int depth)
    {
        if (!reader.Take("("))
        {
            string name = reader.Name();
            return new TemplateTarget(name, members && reader.Take(".") ? reader.Name() : null, null);
        }
        if (depth == DeepestNesting) throw reader.Wrong("names are nested too deep");
        TemplateTarget inner = Several(reader, false, depth + 1);
        return reader.Take(")") ? inner : throw reader.Wrong("')' is missing");
    }
}
