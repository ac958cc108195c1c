using System.Text;
using LowRankQuant.Models.ChatTemplates.Functions;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

/// <summary>How a part of a template ends.</summary>
internal enum Flow
{
    /// <summary>What stands behind it is next.</summary>
    On,

    /// <summary>The next turn of the loop.</summary>
    Continue,

    /// <summary>What stands behind the loop.</summary>
    Break,
}

/// <summary>Puts a part of a template out.</summary>
internal delegate Flow Body(TemplateScope scope, StringBuilder text);

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
