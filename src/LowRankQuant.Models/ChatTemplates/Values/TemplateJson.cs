using System.Text;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>The filter <c>tojson</c> as Transformers has it: Python's json.dumps without escapes of other letters than ASCII, perhaps indented.</summary>
internal sealed class TemplateJson
{
    private const long MostSpaces = 16;

    private readonly StringBuilder _json = new();
    private readonly TemplateBudget _budget;
    private readonly int _indent;
    private readonly string _comma, _colon;
    private readonly bool _ascii, _sorted;

    private TemplateJson(TemplateBudget budget, int indent, string comma, string colon, bool ascii, bool sorted) =>
        (_budget, _indent, _comma, _colon, _ascii, _sorted) = (budget, indent, comma, colon, ascii, sorted);

    /// <summary>A value as JSON.</summary>
    /// <param name="value">The value.</param>
    /// <param name="call"><c>indent</c>: spaces of a level, none for a single line; <c>ensure_ascii</c>; <c>separators</c>: what stands between elements and behind names; <c>sort_keys</c>.</param>
    /// <param name="budget">What the template may take.</param>
    /// <exception cref="ChatTemplateException">An argument is not known, the JSON is too deep or too long, or the value is none that JSON has.</exception>
    public static string Of(object? value, TemplateCall call, TemplateBudget budget)
    {
        object?[] given = call.Bind(("ensure_ascii", false), ("indent", null), ("separators", null), ("sort_keys", false));
        int indent = given[1] switch
        {
            null => -1,
            long spaces and >= 0 and <= MostSpaces => (int)spaces,
            _ => throw call.Wrong($"(indent) takes 0 to {MostSpaces} spaces"),
        };
        (string comma, string colon) = given[2] switch
        {
            null => (indent < 0 ? ", " : ",", ": "),
            List<object?> { Count: 2 } and [string first, string second] => (first, second),
            _ => throw call.Wrong("(separators) takes two texts"),
        };
        if (given[0] is not bool || given[3] is not bool) throw call.Wrong("(ensure_ascii, sort_keys) takes true or false");
        var json = new TemplateJson(budget, indent, comma, colon, given[0] is true, given[3] is true);
        json.Append(value, 0);
        return json._json.ToString();
    }

    private void Append(object? value, int depth)
    {
        _budget.Look(value);
        TemplateValue.CheckDepth(depth);
        TemplateBudget.CheckLength(_json.Length);
        switch (value)
        {
            case null:
                _json.Append("null");
                break;
            case bool flag:
                _json.Append(flag ? "true" : "false");
                break;
            case string text:
                AppendText(text);
                break;
            case double number when !double.IsFinite(number):
                _json.Append(double.IsNaN(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
                break;
            case long or double:
                _json.Append(TemplateText.Of(value, _budget));
                break;
            case TemplateSequence { Kind: not SequenceKind.Tuple }:
                throw TemplateValue.Wrong(value, "has no JSON; 'list' makes a list of it");
            case List<object?> { Count: 0 }:
                _json.Append("[]");
                break;
            case Dictionary<string, object?> { Count: 0 }:
                _json.Append("{}");
                break;
            case List<object?> list:
                _json.Append('[');
                for (int i = 0; i < list.Count; i++)
                {
                    Part(i == 0, depth + 1);
                    Append(list[i], depth + 1);
                }
                End(']', depth);
                break;
            case Dictionary<string, object?> map:
                _json.Append('{');
                bool first = true;
                foreach ((string key, object? member) in Members(map))
                {
                    Part(first, depth + 1);
                    first = false;
                    AppendText(key);
                    _json.Append(_colon);
                    Append(member, depth + 1);
                }
                End('}', depth);
                break;
            default:
                throw TemplateValue.Wrong(value, "has no JSON");
        }
    }

    private IEnumerable<KeyValuePair<string, object?>> Members(Dictionary<string, object?> map)
    {
        if (!_sorted) return map;
        _budget.Elements(map.Count);
        return map.OrderBy(pair => pair.Key, Comparer<string>.Create(TemplateLetters.Compare));
    }

    private void Part(bool first, int depth)
    {
        if (!first) _budget.Append(_json, _comma);
        if (_indent >= 0) _json.Append('\n').Append(' ', _indent * depth);
    }

    private void End(char close, int depth)
    {
        if (_indent >= 0) _json.Append('\n').Append(' ', _indent * depth);
        _json.Append(close);
    }

    private void AppendText(string text)
    {
        // Half a character, which a template may hold, is none that JSON can: it becomes U+FFFD.
        string whole = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
        _json.Append('"');
        foreach (char c in whole)
        {
            if (c is '"' or '\\') _json.Append('\\').Append(c);
            else if (c >= ' ' && (c < '\x7f' || !_ascii)) _json.Append(c);
            else _json.Append(c switch { '\n' => "\\n", '\r' => "\\r", '\t' => "\\t", '\b' => "\\b", '\f' => "\\f", _ => $"\\u{(int)c:x4}" });
        }
        _json.Append('"');
    }
}
