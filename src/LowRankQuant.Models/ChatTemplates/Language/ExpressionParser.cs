using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

using Evaluate = Func<TemplateScope, object?>;

/// <summary>From the tokens of a tag to what its expression comes to; one method a level of precedence, the loosest first. What binds tightest is in <c>ExpressionParts.cs</c>.</summary>
internal sealed partial class ExpressionParser(TemplatePiece piece)
{
    private const int DeepestNesting = 64;

    // So many operators between two looks at how much stack is left.
    private const int OperatorsPerLook = 16;

    // What is evaluated becomes a chain of calls as long as the expression.
    private const int MostOperators = 1000;
    private static readonly string[] Comparisons = ["==", "!=", "<=", ">=", "<", ">"];

    private readonly IReadOnlyList<Token> _tokens = piece.Tokens;
    private int _at;
    private int _depth;
    private int _operators;

    /// <summary>All that is left as one expression, or as several with commas between them, which are a tuple.</summary>
    public Evaluate Whole()
    {
        Evaluate value = Several(Expression);
        End();
        return value;
    }

    /// <summary>All that is left as filters of a value.</summary>
    public Evaluate Filters(Evaluate value)
    {
        value = Filtered(value);
        End();
        return value;
    }

    /// <summary>What is looped over: one expression, or several with commas between them.</summary>
    public Evaluate Looped() => Several(OrExpression);

    /// <summary>Whether a name, or names in parentheses, are next.</summary>
    public bool AtTarget => At("(") || (_at < _tokens.Count && _tokens[_at] is { Kind: TokenKind.Name, Text: not "in" });

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
        while (TakeName("if"))
        {
            Link(ref value);
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
            Link(ref left);
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
            Link(ref left);
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

    // What stands between two comparisons is compared with both: 1 < x < 3.
    private Evaluate Comparison()
    {
        Evaluate first = Sum();
        var links = new List<(Func<TemplateScope, object?, object?, bool> Holds, Evaluate Value)>();
        while (TakeComparison() is { } holds)
        {
            if (++_operators > MostOperators) throw TooLong();
            links.Add((holds, Sum()));
        }
        if (links.Count == 0) return first;
        return scope =>
        {
            object? left = first(scope);
            foreach ((Func<TemplateScope, object?, object?, bool> holds, Evaluate value) in links)
            {
                object? right = value(scope);
                if (!holds(scope, left, right)) return false;
                left = right;
            }
            return true;
        };
    }

    private Func<TemplateScope, object?, object?, bool>? TakeComparison()
    {
        if (TakeName("in")) return (scope, item, container) => TemplateValue.Contains(container, item, scope.Budget);
        if (_at + 1 < _tokens.Count && _tokens[_at] is { Kind: TokenKind.Name, Text: "not" } && _tokens[_at + 1] is { Kind: TokenKind.Name, Text: "in" })
        {
            _at += 2;
            return (scope, item, container) => !TemplateValue.Contains(container, item, scope.Budget);
        }
        return Comparisons.FirstOrDefault(Take) switch
        {
            null => null,
            "==" => (scope, a, b) => TemplateValue.AreEqual(a, b, scope.Budget),
            "!=" => (scope, a, b) => !TemplateValue.AreEqual(a, b, scope.Budget),
            "<" => (scope, a, b) => TemplateValue.Compare(a, b, scope.Budget) < 0,
            ">" => (scope, a, b) => TemplateValue.Compare(a, b, scope.Budget) > 0,
            "<=" => (scope, a, b) => TemplateValue.Compare(a, b, scope.Budget) <= 0,
            _ => (scope, a, b) => TemplateValue.Compare(a, b, scope.Budget) >= 0,
        };
    }

    private Evaluate Sum()
    {
        Evaluate left = Joined();
        while (true)
        {
            bool plus = Take("+");
            if (!plus && !Take("-")) return left;
            Link(ref left);
            Evaluate first = left, second = Joined();
            left = plus
                ? scope => TemplateArithmetic.Add(first(scope), second(scope), scope.Budget)
                : scope => TemplateArithmetic.Of("-", first(scope), second(scope), scope.Budget);
        }
    }

    private Evaluate Joined()
    {
        Evaluate left = Product();
        while (Take("~"))
        {
            Link(ref left);
            Evaluate first = left, second = Product();
            left = scope => scope.Budget.Pay(TemplateArithmetic.Joined(TemplateText.Of(first(scope), scope.Budget), TemplateText.Of(second(scope), scope.Budget)));
        }
        return left;
    }

    private Evaluate Product()
    {
        Evaluate left = Power();
        while (((string[])["*", "//", "/", "%"]).FirstOrDefault(Take) is { } sign)
        {
            Link(ref left);
            Evaluate first = left, second = Power();
            left = scope => scope.Budget.Pay(TemplateArithmetic.Of(sign, first(scope), second(scope), scope.Budget));
        }
        return left;
    }

    // From left to right, and behind signs: as Jinja, and other than Python.
    private Evaluate Power()
    {
        Evaluate left = Filtered(Unary());
        while (Take("**"))
        {
            Link(ref left);
            Evaluate first = left, second = Filtered(Unary());
            left = scope => TemplateArithmetic.Of("**", first(scope), second(scope), scope.Budget);
        }
        return left;
    }

    private Evaluate Unary()
    {
        bool minus = Take("-");
        if (!minus && !Take("+")) return Postfix(Primary());
        if (++_depth > DeepestNesting) throw Wrong($"expressions are nested more than {DeepestNesting} deep");
        Evaluate value = Unary();
        _depth--;
        return minus ? scope => TemplateArithmetic.Negative(value(scope)) : scope => TemplateArithmetic.Positive(value(scope));
    }

    // A chain as long as the expression is bounded, and looks from time to time whether there is stack for more.
    private void Link(ref Evaluate value)
    {
        if (++_operators > MostOperators) throw TooLong();
        if (_operators % OperatorsPerLook != 0) return;
        Evaluate inner = value;
        value = scope =>
        {
            TemplateBudget.CheckStack();
            return inner(scope);
        };
    }

    private bool At(string sign) => _at < _tokens.Count && _tokens[_at].Kind == TokenKind.Sign && _tokens[_at].Text == sign;

    private bool Take(TokenKind kind, string text)
    {
        if (_at >= _tokens.Count || _tokens[_at].Kind != kind || _tokens[_at].Text != text) return false;
        _at++;
        return true;
    }

    private ChatTemplateException TooLong() => Wrong($"an expression has more than {MostOperators} operators");

    /// <summary>What is wrong with the tag.</summary>
    public ChatTemplateException Wrong(string rule) => new($"The chat template: {rule} in '{piece.Shown}'.");
}
