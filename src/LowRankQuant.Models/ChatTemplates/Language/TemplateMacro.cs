using System.Text;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

using Expression = Func<TemplateScope, object?>;

/// <summary>
/// A <c>macro</c>: a part of a template that is called with arguments and gives its text. It sees the variables of the part that it stands in, as they are when it is
/// called; not those of its caller.
/// </summary>
/// <param name="Name">Its name.</param>
/// <param name="Parameters">Names of its arguments, with what they are where they are not given; null for what is not defined then.</param>
/// <param name="Each">What it puts out.</param>
internal sealed record TemplateMacro(string Name, IReadOnlyList<(string Name, Expression? Otherwise)> Parameters, Body Each)
{
    // What Jinja gives to macros that ask for it.
    private static readonly string[] Given = ["varargs", "kwargs", "caller"];

    /// <summary>Reads the name and parameters, which stand behind <c>macro</c>.</summary>
    public static (string Name, IReadOnlyList<(string Name, Expression? Otherwise)> Parameters) Signature(ExpressionParser reader)
    {
        string name = reader.Name();
        if (!reader.Take("(")) throw reader.Wrong("'(' is missing");
        var parameters = new List<(string Name, Expression? Otherwise)>();
        while (!reader.Take(")"))
        {
            if (parameters.Count > 0 && !reader.Take(",")) throw reader.Wrong("')' is missing");
            string parameter = reader.Name();
            if (parameters.Exists(known => known.Name == parameter)) throw reader.Wrong($"'{parameter}' stands twice");
            Expression? otherwise = reader.Take("=") ? reader.Expression() : null;
            if (otherwise is null && parameters is [.., { Otherwise: not null }]) throw reader.Wrong($"'{parameter}' needs a default as those in front of it");
            parameters.Add((parameter, otherwise));
        }
        reader.End();
        return (name, parameters);
    }

    /// <summary>Fails where a macro asks for arguments that it has no names for, or for what stands within its call.</summary>
    public static void CheckNames(IEnumerable<TemplatePiece> pieces, IReadOnlyList<(string Name, Expression? Otherwise)> parameters)
    {
        foreach (TemplatePiece piece in pieces)
        {
            for (int i = 0; i < piece.Tokens.Count; i++)
            {
                Token token = piece.Tokens[i];
                if (token.Kind == TokenKind.Name && Given.Contains(token.Text) && !(i > 0 && piece.Tokens[i - 1].Text == ".") && !parameters.Any(parameter => parameter.Name == token.Text))
                    throw new ChatTemplateException($"The chat template: '{token.Text}' of macros in '{piece.Shown}' is not known.");
            }
        }
    }

    /// <summary>The macro as a function of the part that it stands in.</summary>
    public TemplateFunction In(TemplateScope home) => new(Name, (budget, call) =>
    {
        budget.Enter(Name);
        var scope = new TemplateScope(home);
        Bind(scope, call);
        var text = new StringBuilder();
        Each(scope, text);
        budget.Leave();
        return text.ToString();
    });

    // Defaults see the parameters in front of them, and are worked out anew for every call.
    private void Bind(TemplateScope scope, TemplateCall call)
    {
        object?[] values = call.Bind([.. Parameters.Select(parameter => (parameter.Name, (object?)TemplateCall.Absent))]);
        for (int i = 0; i < values.Length; i++) scope.Set(Parameters[i].Name, ReferenceEquals(values[i], TemplateCall.Absent) ? new Undefined(Parameters[i].Name) : values[i]);
        for (int i = 0; i < values.Length; i++)
        {
            if (ReferenceEquals(values[i], TemplateCall.Absent) && Parameters[i].Otherwise is { } otherwise) scope.Set(Parameters[i].Name, otherwise(scope));
        }
    }
}
