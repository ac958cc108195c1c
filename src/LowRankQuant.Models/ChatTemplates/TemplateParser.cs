using System.Text;

namespace LowRankQuant.Models.ChatTemplates;

using Body = Action<TemplateScope, StringBuilder>;
using Expression = Func<TemplateScope, object?>;

/// <summary>From pieces to what they do: output, if, for and set.</summary>
internal sealed class TemplateParser(IReadOnlyList<TemplatePiece> pieces)
{
    private const int DeepestNesting = 64;

    private int _at;
    private int _depth;

    /// <summary>The whole template.</summary>
    public Body Template()
    {
        Body body = Block(out string? end);
        return end is null ? body : throw new ChatTemplateException($"The chat template: '{end}' without a beginning.");
    }

    /// <summary>Pieces up to a statement that ends or divides a block, whose tokens are still to be read.</summary>
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
                var reader = new ExpressionParser(piece);
                Expression value = reader.Whole();
                bodies.Add((scope, text) => Put(scope, text, TemplateValue.Text(value(scope))));
                continue;
            }
            string word = piece.Tokens is [{ Kind: TokenKind.Name } first, ..] ? first.Text : throw new ChatTemplateException($"The chat template: '{piece.Shown}' is no statement.");
            if (ends.Contains(word))
            {
                end = word;
                break;
            }
            bodies.Add(Statement(word, piece));
        }
        _depth--;
        Body[] all = [.. bodies];
        return (scope, text) =>
        {
            foreach (Body body in all)
            {
                scope.Budget.Spend();
                body(scope, text);
            }
        };
    }

    private Body Statement(string word, TemplatePiece piece)
    {
        var reader = new ExpressionParser(piece);
        reader.Skip(word);
        return word switch
        {
            "if" => If(reader),
            "for" => For(reader),
            "set" => Set(reader),
            // Marks what is trained on; says nothing about the text.
            "generation" or "endgeneration" => Nothing,
            _ => throw new ChatTemplateException($"The chat template: the statement '{word}' in '{piece.Shown}' is not known."),
        };
    }

    private static void Put(TemplateScope scope, StringBuilder text, string part)
    {
        scope.Budget.Spend(part.Length);
        TemplateBudget.CheckLength((long)text.Length + part.Length);
        text.Append(part);
    }

    private static void Nothing(TemplateScope scope, StringBuilder text)
    {
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
                if (!TemplateValue.Truth(condition(scope))) continue;
                then(scope, text);
                return;
            }
            otherwise?.Invoke(scope, text);
        };
    }

    private Body For(ExpressionParser reader)
    {
        string name = reader.Name();
        string? second = reader.Take(",") ? reader.Name() : null;
        reader.Skip("in");
        Expression items = reader.OrExpression();
        Expression? filter = reader.TakeName("if") ? reader.Expression() : null;
        reader.End();
        _at++;
        Body body = Block(out string? end, "else", "endfor");
        Body? otherwise = null;
        if (end == "else")
        {
            _at++;
            otherwise = Block(out end, "endfor");
        }
        if (end is null) throw new ChatTemplateException("The chat template: a 'for' is not closed.");
        return (outer, text) =>
        {
            var chosen = new List<object?>();
            foreach (object? item in outer.Budget.Pay(TemplateValue.Items(items(outer))))
            {
                outer.Budget.Spend();
                if (filter is null || TemplateValue.Truth(filter(Inner(outer, item)))) chosen.Add(item);
            }
            for (int i = 0; i < chosen.Count; i++)
            {
                TemplateScope scope = Inner(outer, chosen[i]);
                scope.Set("loop", Loop(chosen, i));
                body(scope, text);
            }
            if (chosen.Count == 0) otherwise?.Invoke(outer, text);
        };

        TemplateScope Inner(TemplateScope outer, object? item)
        {
            var scope = new TemplateScope(outer);
            if (second is null) scope.Set(name, item);
            else if (item is List<object?> { Count: 2 } pair)
            {
                scope.Set(name, pair[0]);
                scope.Set(second, pair[1]);
            }
            else throw new ChatTemplateException($"The chat template: '{name}, {second}' needs pairs to loop over.");
            return scope;
        }
    }

    private static Dictionary<string, object?> Loop(List<object?> items, int i) => new()
    {
        ["index"] = i + 1L,
        ["index0"] = (long)i,
        ["revindex"] = (long)(items.Count - i),
        ["revindex0"] = items.Count - i - 1L,
        ["first"] = i == 0,
        ["last"] = i == items.Count - 1,
        ["length"] = (long)items.Count,
        ["previtem"] = i > 0 ? items[i - 1] : new Undefined("loop.previtem"),
        ["nextitem"] = i < items.Count - 1 ? items[i + 1] : new Undefined("loop.nextitem"),
    };

    private Body Set(ExpressionParser reader)
    {
        string name = reader.Name();
        string? member = reader.Take(".") ? reader.Name() : null;
        if (reader.Take("="))
        {
            Expression value = reader.Whole();
            if (member is null) return (scope, _) => scope.Set(name, value(scope));
            return (scope, _) =>
            {
                if (scope.Get(name) is not TemplateNamespace target) throw new ChatTemplateException($"The chat template: '{name}.{member}' can be set of a namespace only.");
                target.Values[member] = value(scope);
            };
        }
        reader.End();
        _at++;
        Body body = Block(out string? end, "endset");
        if (end is null) throw new ChatTemplateException("The chat template: a 'set' is not closed.");
        return (scope, _) =>
        {
            var text = new StringBuilder();
            body(new TemplateScope(scope), text);
            scope.Set(name, text.ToString());
        };
    }
}
