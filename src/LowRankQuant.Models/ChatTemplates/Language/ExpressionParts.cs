using System.Globalization;
using System.Text;
using LowRankQuant.Models.ChatTemplates.Functions;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

using Evaluate = Func<TemplateScope, object?>;

/// <summary>The parts of an expression: literals, names, members, calls, filters and tests.</summary>
internal sealed partial class ExpressionParser
{
    // Names behind a test that are none of its argument.
    private static readonly string[] BehindTests = ["else", "or", "and"];

    private Evaluate Several(Func<Evaluate> one)
    {
        Evaluate first = one();
        if (!At(",")) return first;
        List<Evaluate> parts = [first];
        while (Take(",") && _at < _tokens.Count && !At(")")) parts.Add(one());
        return Tuple(parts);
    }

    private static Evaluate Tuple(List<Evaluate> parts) => scope =>
    {
        scope.Budget.Elements(parts.Count);
        return TemplateSequence.Tuple([.. parts.Select(part => part(scope))]);
    };

    private Evaluate Primary()
    {
        if (Take("("))
        {
            if (Take(")")) return Tuple([]);
            Evaluate inner = Several(Expression);
            return Take(")") ? inner : throw Wrong("')' is missing");
        }
        if (Take("["))
        {
            var items = new List<Evaluate>();
            while (!Take("]"))
            {
                if (items.Count > 0 && !Take(",")) throw Wrong("']' is missing");
                if (Take("]")) break;
                items.Add(Expression());
            }
            return scope =>
            {
                scope.Budget.Elements(items.Count);
                return items.Select(item => item(scope)).ToList();
            };
        }
        if (Take("{")) return Mapping();
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
                object number = Number(token.Text);
                return _ => number;
            case TokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => _ => true,
                    "false" or "False" => _ => false,
                    "none" or "None" => _ => null,
                    // The template itself, with its blocks.
                    "self" => throw Wrong("'self' is not known"),
                    _ => scope => scope.Get(token.Text),
                };
            default:
                throw Wrong($"'{token.Text}' is no expression");
        }
    }

    private object Number(string text)
    {
        if (text.AsSpan().ContainsAny(".eE")) return double.Parse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture);
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : throw Wrong($"'{text}' is too large");
    }

    private Evaluate Mapping()
    {
        var members = new List<(Evaluate Key, Evaluate Value)>();
        while (!Take("}"))
        {
            if (members.Count > 0 && !Take(",")) throw Wrong("'}' is missing");
            if (Take("}")) break;
            Evaluate key = Expression();
            if (!Take(":")) throw Wrong("':' is missing");
            members.Add((key, Expression()));
        }
        return scope =>
        {
            scope.Budget.Elements(members.Count);
            var map = new Dictionary<string, object?>(StringComparer.Ordinal);
            foreach ((Evaluate key, Evaluate value) in members)
                map[key(scope) as string ?? throw new ChatTemplateException("The chat template makes a mapping with other keys than texts, which is not known.")] = value(scope);
            return map;
        };
    }

    private Evaluate Postfix(Evaluate value)
    {
        while (true)
        {
            Evaluate inner = value;
            if (Take(".")) value = Attribute(inner);
            else if (Take("[")) value = Index(inner);
            else if (Take("(")) value = Call(inner);
            else return value;
            Link(ref value);
        }
    }

    private Evaluate Attribute(Evaluate inner)
    {
        if (_at < _tokens.Count && _tokens[_at].Kind == TokenKind.Number)
        {
            object index = Number(_tokens[_at++].Text);
            return scope => TemplateMembers.Item(inner(scope), index);
        }
        string name = Name();
        return scope => TemplateMembers.Attribute(inner(scope), name);
    }

    private Evaluate Call(Evaluate inner)
    {
        bool named = _at > 1 && _tokens[_at - 2].Kind == TokenKind.Name;
        string name = named ? _tokens[_at - 2].Text : "...";
        bool isMethod = named && _at > 2 && _tokens[_at - 3] is { Kind: TokenKind.Sign, Text: "." };
        Func<TemplateScope, TemplateCall> arguments = Arguments($"'{name}'");
        return scope => TemplateFunctions.Call(inner(scope), name, isMethod, scope.Budget, arguments(scope));
    }

    private Evaluate Filtered(Evaluate value)
    {
        while (true)
        {
            Evaluate inner = value;
            if (Take("|"))
            {
                string name = Name();
                TemplateFilters.Check(name);
                Func<TemplateScope, TemplateCall> arguments = Take("(") ? Arguments($"the filter '{name}'") : None($"the filter '{name}'");
                value = scope => TemplateFilters.Apply(scope.Budget, name, inner(scope), arguments(scope));
            }
            else if (TakeName("is")) value = Test(inner);
            else if (Take("(")) value = Call(inner);
            else return value;
            Link(ref value);
        }
    }

    private Evaluate Test(Evaluate inner)
    {
        bool negated = TakeName("not");
        string name = Name();
        TemplateTests.Check(name);
        Func<TemplateScope, TemplateCall> arguments = None($"the test '{name}'");
        if (Take("(")) arguments = Arguments($"the test '{name}'");
        else if (_at < _tokens.Count && _tokens[_at] is var next && (next.Kind is TokenKind.Text or TokenKind.Number || At("[") || At("{") || (next.Kind == TokenKind.Name && !BehindTests.Contains(next.Text))))
        {
            if (next is { Kind: TokenKind.Name, Text: "is" }) throw Wrong("a test stands behind a test");
            Evaluate argument = Postfix(Primary());
            arguments = scope => new TemplateCall($"the test '{name}'", [argument(scope)], []);
        }
        return scope => TemplateTests.Holds(scope.Budget, name, inner(scope), arguments(scope)) != negated;
    }

    private Evaluate Index(Evaluate inner)
    {
        Evaluate? start = At(":") ? null : Several(Expression), stop = null, step = null;
        if (Take("]")) return start is not null ? scope => TemplateMembers.Item(inner(scope), start(scope)) : throw Wrong("an index is missing");
        if (!Take(":")) throw Wrong("']' is missing");
        if (!At("]") && !At(":")) stop = Expression();
        if (Take(":") && !At("]")) step = Expression();
        if (!Take("]")) throw Wrong("']' is missing");
        return scope =>
        {
            object? value = inner(scope);
            scope.Budget.Look(value);
            return scope.Budget.Pay(TemplateMembers.Slice(value, start?.Invoke(scope), stop?.Invoke(scope), step?.Invoke(scope)));
        };
    }

    private static Func<TemplateScope, TemplateCall> None(string what)
    {
        var none = new TemplateCall(what, [], []);
        return _ => none;
    }

    // What stands behind "(".
    private Func<TemplateScope, TemplateCall> Arguments(string what)
    {
        var positional = new List<Evaluate>();
        var named = new List<(string Name, Evaluate Value)>();
        while (!Take(")"))
        {
            if (positional.Count + named.Count > 0 && !Take(",")) throw Wrong("')' is missing");
            if (Take(")")) break;
            if (_at + 1 < _tokens.Count && _tokens[_at].Kind == TokenKind.Name && _tokens[_at + 1] is { Kind: TokenKind.Sign, Text: "=" })
            {
                string name = Name();
                Take("=");
                if (named.Exists(known => known.Name == name)) throw Wrong($"'{name}' stands twice");
                named.Add((name, Expression()));
            }
            else if (named.Count > 0) throw Wrong("an argument without a name stands behind one with a name");
            else positional.Add(Expression());
        }
        if (positional.Count + named.Count == 0) return None(what);
        return scope => new TemplateCall(what, [.. positional.Select(value => value(scope))], [.. named.Select(argument => (argument.Name, argument.Value(scope)))]);
    }
}
