namespace LowRankQuant.Models.ChatTemplates;

/// <summary>Variables of a part of a template. What a loop sets is gone behind it, as in Jinja; a macro sees those of the part that it stands in, and not those of its caller.</summary>
internal sealed class TemplateScope(TemplateScope? outer)
{
    private readonly Dictionary<string, object?> _variables = new(StringComparer.Ordinal);

    /// <summary>What is left of the work of rendering; one for all scopes.</summary>
    public TemplateBudget Budget { get; } = outer?.Budget ?? new TemplateBudget();

    public void Set(string name, object? value) => _variables[name] = value;

    /// <summary>A variable's value, or a function of this name; <see cref="Undefined"/> when there is none.</summary>
    public object? Get(string name)
    {
        for (TemplateScope? scope = this; scope is not null; scope = scope.Outer)
        {
            if (scope._variables.TryGetValue(name, out object? value)) return value;
        }
        return TemplateFunctions.Find(name) ?? (object)new Undefined(name);
    }

    private TemplateScope? Outer { get; } = outer;
}

/// <summary>A name or member that does not exist: false, empty, and an error where something is asked of it.</summary>
/// <param name="Name">For messages.</param>
internal sealed record Undefined(string Name);
