using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>The filter <c>tojson</c> as Transformers has it: Python's json.dumps without escapes of other letters than ASCII, perhaps indented.</summary>
internal static class TemplateJson
{
    private const long MostSpaces = 16;

    /// <summary>A value as JSON.</summary>
    /// <param name="value">The value.</param>
    /// <param name="arguments"><c>indent</c>: spaces of a level, none for a single line; <c>ensure_ascii</c>, false.</param>
    /// <param name="budget">What the template may take.</param>
    /// <exception cref="ChatTemplateException">An argument is not known, or the JSON is too deep or too long.</exception>
    public static string Of(object? value, (string? Name, object? Value)[] arguments, TemplateBudget budget)
    {
        int indent = -1;
        foreach ((string? name, object? given) in arguments)
        {
            switch (name, given)
            {
                case ("indent", null):
                case ("ensure_ascii", false):
                    break;
                case ("indent", long spaces and >= 0 and <= MostSpaces):
                    indent = (int)spaces;
                    break;
                default:
                    throw new ChatTemplateException($"The chat template: tojson({name ?? "..."}) is not known; indent of 0 to {MostSpaces} and ensure_ascii=false are.");
            }
        }
        var json = new StringBuilder();
        Append(json, value, indent, budget, 0);
        return json.ToString();
    }

    private static void Append(StringBuilder json, object? value, int indent, TemplateBudget budget, int depth)
    {
        budget.Look(value);
        TemplateValue.CheckDepth(depth);
        TemplateBudget.CheckLength(json.Length);
        switch (value)
        {
            case null:
                json.Append("null");
                break;
            case bool flag:
                json.Append(flag ? "true" : "false");
                break;
            case string text:
                AppendText(json, text);
                break;
            case List<object?> { Count: 0 }:
                json.Append("[]");
                break;
            case Dictionary<string, object?> { Count: 0 }:
                json.Append("{}");
                break;
            case List<object?> list:
                json.Append('[');
                for (int i = 0; i < list.Count; i++)
                {
                    Part(json, i == 0, indent, depth + 1);
                    Append(json, list[i], indent, budget, depth + 1);
                }
                End(json, ']', indent, depth);
                break;
            case Dictionary<string, object?> map:
                json.Append('{');
                bool first = true;
                foreach ((string key, object? member) in map)
                {
                    Part(json, first, indent, depth + 1);
                    first = false;
                    AppendText(json, key);
                    json.Append(": ");
                    Append(json, member, indent, budget, depth + 1);
                }
                End(json, '}', indent, depth);
                break;
            default:
                json.Append(TemplateValue.Text(value));
                break;
        }
    }

    private static void Part(StringBuilder json, bool first, int indent, int depth)
    {
        if (!first) json.Append(indent < 0 ? ", " : ",");
        if (indent >= 0) json.Append('\n').Append(' ', indent * depth);
    }

    private static void End(StringBuilder json, char close, int indent, int depth)
    {
        if (indent >= 0) json.Append('\n').Append(' ', indent * depth);
        json.Append(close);
    }

    private static void AppendText(StringBuilder json, string text)
    {
        // A slice may have cut a character of two halves, which JSON cannot hold: a half becomes U+FFFD.
        string whole = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
        json.Append('"').Append(JsonEncodedText.Encode(whole, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)).Append('"');
    }
}
