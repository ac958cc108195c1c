using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.ChatTemplates;

using Evaluate = Func<TemplateScope, object?>;

/// <summary>From the tokens of a tag to what its expression comes to; one method a level of precedence, the loosest first.</summary>
internal sealed class ExpressionParser(TemplatePiece piece)
{
    private const int DeepestNesting = 64;

    // What is evaluated becomes a chain of calls as long as the expression.
    private const int MostOperators = 1000;
    private static readonly string[] Comparisons = ["==", "!=", "<=", ">=", "<", ">"];

    private readonly IReadOnlyList<Token> _tokens = piece.Tokens;
    private int _at;
    private int _depth;
    private int _operators;

    /// <summary>All that is left as one expression.</summary>
    public Evaluate Whole()
    {
        Evaluate value = Expression();
        End();
        return value;
    }

    /// <summary>Fails when something is left.</summary>
    public void End()
    {
        if (_at < _tokens.Count) throw Wrong($"'{_tokens[_at].Text}' is too much");
    }

    public void Skip(string word)
    {
        if (!TakeName(word)) throw Wrong($"'{word}' is missing");
    }

    public bool TakeName(string word) => Take(TokenKind.Name, word);

    public bool Take(string sign) => Take(TokenKind.Sign, sign);

    public string Name() => _at < _tokens.Count && _tokens[_at].Kind == TokenKind.Name ? _tokens[_at++].Text : throw Wrong("a name is missing");

    /// <summary><c>a if condition else b</c>.</summary>
    public Evaluate Expression()
    {
        if (++_depth > DeepestNesting) throw Wrong($"expressions are nested more than {DeepestNesting} deep");
        Evaluate value = OrExpression();
        if (TakeName("if"))
        {
            Evaluate then = value, condition = OrExpression();
            Evaluate otherwise = TakeName("else") ? Expression() : _ => new Undefined("else");
            value = scope => TemplateValue.Truth(condition(scope)) ? then(scope) : otherwise(scope);
        }
        _depth--;
        return value;
    }

    /// <summary>An expression without <c>if</c>, which means something else behind <c>for</c>.</summary>
    public Evaluate OrExpression()
    {
        Evaluate left = And();
        while (TakeName("or"))
        {
            Link();
            Evaluate first = left, second = And();
            left = scope => first(scope) is var value && TemplateValue.Truth(value) ? value : second(scope);
        }
        return left;
    }

    private Evaluate And()
    {
        Evaluate left = Not();
        while (TakeName("and"))
        {
            Link();
            Evaluate first = left, second = Not();
            left = scope => first(scope) is var value && !TemplateValue.Truth(value) ? value : second(scope);
        }
        return left;
    }

    private Evaluate Not()
    {
        if (!TakeName("not")) return Comparison();
        if (++_depth > DeepestNesting) throw Wrong($"expressions are nested more than {DeepestNesting} deep");
        Evaluate value = Not();
        _depth--;
        return scope => !TemplateValue.Truth(value(scope));
    }

    private Evaluate Comparison()
    {
        Evaluate left = Sum();
        while (true)
        {
            Evaluate first = left;
            bool negated = _at + 1 < _tokens.Count && _tokens[_at] is { Kind: TokenKind.Name, Text: "not" } && _tokens[_at + 1] is { Kind: TokenKind.Name, Text: "in" };
            if (negated) _at++;
            if (TakeName("in"))
            {
                Link();
                Evaluate container = Sum();
                left = scope => TemplateValue.Contains(container(scope), first(scope), scope.Budget) != negated;
                continue;
            }
            if (Comparisons.FirstOrDefault(Take) is not { } sign) return left;
            Link();
            Evaluate second = Sum();
            left = sign switch
            {
                "==" => scope => TemplateValue.AreEqual(first(scope), second(scope), scope.Budget),
                "!=" => scope => !TemplateValue.AreEqual(first(scope), second(scope), scope.Budget),
                "<" => scope => Compared(scope, first, second) < 0,
                ">" => scope => Compared(scope, first, second) > 0,
                "<=" => scope => Compared(scope, first, second) <= 0,
                _ => scope => Compared(scope, first, second) >= 0,
            };
        }
    }

    private Evaluate Sum()
    {
        Evaluate left = Joined();
        while (true)
        {
            Evaluate first = left;
            if (Take("+"))
            {
                Link();
                Evaluate second = Joined();
                left = scope => scope.Budget.Pay(TemplateValue.Add(first(scope), second(scope)));
            }
            else if (Take("-"))
            {
                Link();
                Evaluate second = Joined();
                left = scope => TemplateValue.Arithmetic("-", first(scope), second(scope));
            }
            else return left;
        }
    }

    private Evaluate Joined()
    {
        Evaluate left = Product();
        while (Take("~"))
        {
            Link();
            Evaluate first = left, second = Product();
            left = scope => scope.Budget.Pay(TemplateValue.Joined(TemplateValue.Text(first(scope)), TemplateValue.Text(second(scope))));
        }
        return left;
    }

    private Evaluate Product()
    {
        Evaluate left = Unary();
        while (((string[])["*", "//", "/", "%"]).FirstOrDefault(Take) is { } sign)
        {
            Link();
            Evaluate first = left, second = Unary();
            left = scope => TemplateValue.Arithmetic(sign, first(scope), second(scope));
        }
        return left;
    }

    private Evaluate Unary()
    {
        if (!Take("-")) return Postfix(Primary());
        Evaluate value = Postfix(Primary());
        return scope => TemplateValue.Arithmetic("-", 0L, value(scope));
    }

    private Evaluate Primary()
    {
        if (Take("("))
        {
            Evaluate inner = Expression();
            return Take(")") ? inner : throw Wrong("')' is missing");
        }
        if (Take("["))
        {
            Evaluate[] items = [.. Arguments("]").Select(argument => argument.Value)];
            return scope => scope.Budget.Pay(items.Select(item => item(scope)).ToList());
        }
        if (_at >= _tokens.Count) throw Wrong("an expression is missing");
        Token token = _tokens[_at++];
        switch (token.Kind)
        {
            case TokenKind.Text:
                // Texts side by side are one, as in Python.
                var text = new StringBuilder(token.Text);
                while (_at < _tokens.Count && _tokens[_at].Kind == TokenKind.Text) text.Append(_tokens[_at++].Text);
                string whole = text.ToString();
                return _ => whole;
            case TokenKind.Number:
                return long.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? _ => number : throw Wrong($"'{token.Text}' is too large");
            case TokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => _ => true,
                    "false" or "False" => _ => false,
                    "none" or "None" => _ => null,
                    _ => scope => scope.Get(token.Text),
                };
            default:
                throw Wrong($"'{token.Text}' is no expression");
        }
    }

    private Evaluate Postfix(Evaluate value)
    {
        while (true)
        {
            Evaluate inner = value;
            if (Take("."))
            {
                string name = Name();
                if (Take("("))
                {
                    (string? Name, Evaluate Value)[] arguments = [.. Arguments(")")];
                    value = scope => TemplateFunctions.Method(scope.Budget, inner(scope), name, [.. arguments.Select(argument => argument.Value(scope))]);
                }
                else value = scope => TemplateValue.Member(inner(scope), name);
            }
            else if (Take("[")) value = Index(inner);
            else if (Take("("))
            {
                string name = _tokens[_at - 2] is { Kind: TokenKind.Name } called ? called.Text : throw Wrong("only names can be called");
                (string? Name, Evaluate Value)[] arguments = [.. Arguments(")")];
                value = scope => TemplateFunctions.Call(scope.Budget, name, [.. arguments.Select(argument => (argument.Name, argument.Value(scope)))]);
            }
            else if (Take("|"))
            {
                string name = Name();
                TemplateFunctions.CheckFilter(name);
                (string? Name, Evaluate Value)[] arguments = Take("(") ? [.. Arguments(")")] : [];
                value = scope => TemplateFunctions.Filter(scope.Budget, name, inner(scope), [.. arguments.Select(argument => (argument.Name, argument.Value(scope)))]);
            }
            else if (TakeName("is"))
            {
                bool negated = TakeName("not");
                string name = Name();
                TemplateFunctions.CheckTest(name);
                value = scope => TemplateFunctions.Test(name, inner(scope)) != negated;
            }
            else return value;
            Link();
        }
    }

    private Evaluate Index(Evaluate inner)
    {
        Evaluate? start = At(":") ? null : Expression(), stop = null, step = null;
        if (Take("]")) return scope => TemplateValue.Member(inner(scope), start!(scope));
        if (!Take(":")) throw Wrong("']' is missing");
        if (!At("]") && !At(":")) stop = Expression();
        if (Take(":") && !At("]")) step = Expression();
        if (!Take("]")) throw Wrong("']' is missing");
        return scope => scope.Budget.Pay(TemplateValue.Slice(inner(scope), start?.Invoke(scope), stop?.Invoke(scope), step?.Invoke(scope)));
    }

    private List<(string? Name, Evaluate Value)> Arguments(string close)
    {
        var arguments = new List<(string?, Evaluate)>();
        while (!Take(close))
        {
            if (arguments.Count > 0 && !Take(",")) throw Wrong($"'{close}' is missing");
            if (Take(close)) break;
            string? name = _at + 1 < _tokens.Count && _tokens[_at].Kind == TokenKind.Name && _tokens[_at + 1] is { Kind: TokenKind.Sign, Text: "=" } ? Name() : null;
            if (name is not null) Take("=");
            arguments.Add((name, Expression()));
        }
        return arguments;
    }

    private void Link()
    {
        if (++_operators > MostOperators) throw Wrong($"an expression has more than {MostOperators} operators");
    }

    private static int Compared(TemplateScope scope, Evaluate first, Evaluate second)
    {
        object? a = first(scope), b = second(scope);
        scope.Budget.Look(a, b);
        return TemplateValue.Compare(a, b);
    }

    private bool At(string sign) => _at < _tokens.Count && _tokens[_at].Kind == TokenKind.Sign && _tokens[_at].Text == sign;

    private bool Take(TokenKind kind, string text)
    {
        if (_at >= _tokens.Count || _tokens[_at].Kind != kind || _tokens[_at].Text != text) return false;
        _at++;
        return true;
    }

    private ChatTemplateException Wrong(string rule) => new($"The chat template: {rule} in '{piece.Shown}'.");
}
