using System.Text;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

using Expression = Func<TemplateScope, object?>;

/// <summary>From pieces to what they do: output, if, for, set, macro.</summary>
internal sealed class TemplateParser(IReadOnlyList<TemplatePiece> pieces)
{
    private const int DeepestNesting = 64;

    // What a block of "set" wrote, under a name that no variable can have.
    private const string Written = " written";

    private int _at;
    private int _depth;

    // Loops that a break can end; those around a macro are none of its own.
    private int _loops;

    /// <summary>The whole template.</summary>
    public Body Template()
    {
        Body body = Block(out string? end);
        return end is null ? body : throw new ChatTemplateException($"The chat template: '{end}' without a beginning.");
    }

    /// <summary>Pieces up to a statement that ends or divides a block; of <c>elif</c> the tokens are still to be read.</summary>
    private Body Block(out string? end, params ReadOnlySpan<string> ends)
    {
        if (++_depth > DeepestNesting) throw new ChatTemplateException($"The chat template: blocks are nested more than {DeepestNesting} deep.");
        var bodies = new List<Body>();
        end = null;
        for (; _at < pieces.Count; _at++)
        {
            TemplatePiece piece = pieces[_at];
            if (piece.Kind == PieceKind.Text)
            {
                bodies.Add((scope, text) => Put(scope, text, piece.Text));
                continue;
            }
            if (piece.Kind == PieceKind.Output)
            {
                Expression value = new ExpressionParser(piece).Whole();
                bodies.Add((scope, text) => Put(scope, text, TemplateText.Of(value(scope), scope.Budget)));
                continue;
            }
            string word = piece.Tokens is [{ Kind: TokenKind.Name } first, ..] ? first.Text : throw new ChatTemplateException($"The chat template: '{piece.Shown}' is no statement.");
            var reader = new ExpressionParser(piece);
            reader.Skip(word);
            if (ends.Contains(word))
            {
                if (word != "elif") reader.End();
                end = word;
                break;
            }
            bodies.Add(Statement(word, piece, reader));
        }
        _depth--;
        Body[] all = [.. bodies];
        return (scope, text) =>
        {
            TemplateBudget.CheckStack();
            foreach (Body body in all)
            {
                scope.Budget.Spend();
                if (body(scope, text) is var flow and not Flow.On) return flow;
            }
            return Flow.On;
        };
    }

    private Body Statement(string word, TemplatePiece piece, ExpressionParser reader) => word switch
    {
        "if" => If(reader),
        "for" => For(reader),
        "set" => Set(reader),
        "macro" => Macro(reader),
        "break" => Jump(reader, word, Flow.Break),
        "continue" => Jump(reader, word, Flow.Continue),
        "generation" => Generation(reader),
        _ when word.StartsWith("end", StringComparison.Ordinal) || word is "elif" or "else" => throw new ChatTemplateException($"The chat template: '{word}' without a beginning."),
        _ => throw new ChatTemplateException($"The chat template: the statement '{word}' in '{piece.Shown}' is not known."),
    };

    private static Flow Put(TemplateScope scope, StringBuilder text, string part)
    {
        scope.Budget.Append(text, part);
        return Flow.On;
    }

    private Body Closed(string word, params ReadOnlySpan<string> ends)
    {
        _at++;
        Body body = Block(out string? end, ends);
        return end is not null ? body : throw new ChatTemplateException($"The chat template: '{word}' is not closed.");
    }

    private Body Jump(ExpressionParser reader, string word, Flow flow)
    {
        reader.End();
        if (_loops == 0) throw new ChatTemplateException($"The chat template: '{word}' stands in no loop.");
        return (_, _) => flow;
    }

    // Marks what is trained on; says nothing about the text, but is a part of its own, as a macro is.
    private Body Generation(ExpressionParser reader)
    {
        reader.End();
        int loops = _loops;
        _loops = 0;
        Body body = Closed("generation", "endgeneration");
        _loops = loops;
        return (scope, text) => body(new TemplateScope(scope), text);
    }

    private Body Macro(ExpressionParser reader)
    {
        (string name, IReadOnlyList<(string Name, Expression? Otherwise)> parameters) = TemplateMacro.Signature(reader);
        int loops = _loops, start = _at;
        _loops = 0;
        Body body = Closed("macro", "endmacro");
        _loops = loops;
        TemplateMacro.CheckNames(pieces.Skip(start).Take(_at - start), parameters);
        var macro = new TemplateMacro(name, parameters, body);
        return (scope, _) =>
        {
            scope.Set(name, macro.In(scope));
            return Flow.On;
        };
    }

    private Body If(ExpressionParser reader)
    {
        // Branches are a list and not within each other: a template may have very many.
        var branches = new List<(Expression Condition, Body Then)>();
        Body? otherwise = null;
        while (true)
        {
            Expression condition = reader.Whole();
            _at++;
            branches.Add((condition, Block(out string? end, "elif", "else", "endif")));
            if (end == "elif")
            {
                reader = new ExpressionParser(pieces[_at]);
                reader.Skip("elif");
                continue;
            }
            if (end == "else")
            {
                _at++;
                otherwise = Block(out end, "endif");
            }
            if (end is null) throw new ChatTemplateException("The chat template: an 'if' is not closed.");
            break;
        }
        return (scope, text) =>
        {
            foreach ((Expression condition, Body then) in branches)
            {
                scope.Budget.Spend();
                if (TemplateValue.Truth(condition(scope))) return then(scope, text);
            }
            return otherwise?.Invoke(scope, text) ?? Flow.On;
        };
    }

    private Body For(ExpressionParser reader)
    {
        TemplateTarget target = TemplateTarget.Read(reader, members: false);
        reader.Skip("in");
        Expression items = reader.Looped();
        Expression? filter = reader.TakeName("if") ? reader.Expression() : null;
        reader.End();
        _at++;
        _loops++;
        Body body = Block(out string? end, "else", "endfor");
        _loops--;
        Body? otherwise = null;
        if (end == "else")
        {
            _at++;
            otherwise = Block(out end, "endfor");
        }
        if (end is null) throw new ChatTemplateException("The chat template: a 'for' is not closed.");
        return new TemplateFor(target, items, filter, body, otherwise).Run;
    }

    private Body Set(ExpressionParser reader)
    {
        TemplateTarget target = TemplateTarget.Read(reader, members: true);
        if (reader.Take("="))
        {
            Expression value = reader.Whole();
            return (scope, _) =>
            {
                target.Assign(scope, value(scope));
                return Flow.On;
            };
        }
        if (target.HasParts) throw reader.Wrong("'=' is missing");
        Expression filtered = reader.Filters(scope => scope.Get(Written));
        Body body = Closed("set", "endset");
        return (scope, _) =>
        {
            var text = new StringBuilder();
            if (body(new TemplateScope(scope), text) is var flow and not Flow.On) return flow;
            var inner = new TemplateScope(scope);
            inner.Set(Written, text.ToString());
            target.Assign(scope, filtered(inner));
            return Flow.On;
        };
    }
}
