using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>Values put into a text: <c>'%s' % value</c> and <c>'{}'.format(value)</c>, in their plain forms; widths and kinds of numbers are refused.</summary>
internal static class TemplateFormat
{
    /// <summary>A text with <c>%s</c>, <c>%d</c> and <c>%%</c>.</summary>
    /// <param name="budget">What the template may take.</param>
    /// <param name="format">The text.</param>
    /// <param name="values">What is put into it.</param>
    /// <param name="mayBeLeft">Whether there may be more values than places.</param>
    public static string Percent(TemplateBudget budget, string format, IReadOnlyList<object?> values, bool mayBeLeft)
    {
        budget.Look(format);
        var all = new StringBuilder();
        int taken = 0;
        for (int at = 0; at < format.Length;)
        {
            int sign = format.IndexOf('%', at);
            budget.Append(all, format[at..(sign < 0 ? format.Length : sign)]);
            if (sign < 0) break;
            char kind = sign + 1 < format.Length ? format[sign + 1] : ' ';
            at = sign + 2;
            if (kind == '%')
            {
                budget.Append(all, "%");
                continue;
            }
            if (kind is not ('s' or 'd')) throw new ChatTemplateException($"The chat template: '%{kind}' in a text is not known; %s, %d and %% are.");
            if (taken == values.Count) throw new ChatTemplateException($"The chat template: a text has more places than the {values.Count} values that are put into it.");
            object? value = values[taken++];
            budget.Append(all, kind == 's' ? TemplateText.Of(value, budget) : Whole(value));
        }
        if (taken < values.Count && !mayBeLeft) throw new ChatTemplateException($"The chat template: a text has {taken} places, and {values.Count} values are put into it.");
        return all.ToString();
    }

    /// <summary>A text with <c>{}</c>, <c>{0}</c> and <c>{name}</c>.</summary>
    public static string Braces(TemplateBudget budget, string format, TemplateCall call)
    {
        var all = new StringBuilder();
        int next = 0;
        bool numbered = false;
        for (int at = 0; at < format.Length;)
        {
            int sign = format.AsSpan(at).IndexOfAny('{', '}');
            budget.Append(all, format[at..(sign < 0 ? format.Length : at + sign)]);
            if (sign < 0) break;
            at += sign;
            if (at + 1 < format.Length && format[at + 1] == format[at])
            {
                budget.Append(all, format[at..(at + 1)]);
                at += 2;
                continue;
            }
            int end = format[at] == '{' ? format.IndexOf('}', at) : -1;
            if (end < 0) throw call.Wrong("has a brace without its partner");
            string field = format[(at + 1)..end];
            at = end + 1;
            if (field.Length == 0 && numbered || (field.Length > 0 && char.IsAsciiDigit(field[0]) && next > 0)) throw call.Wrong("has both {} and {0}");
            numbered |= field.Length > 0 && char.IsAsciiDigit(field[0]);
            budget.Append(all, TemplateText.Of(Value(field), budget));
        }
        return all.ToString();

        object? Value(string field)
        {
            if (field.Length > 0 && !char.IsAsciiDigit(field[0]))
            {
                if (!field.All(c => char.IsAsciiLetterOrDigit(c) || c == '_')) throw call.Wrong($"knows {{}}, {{0}} and {{name}}, and not '{{{ChatTemplateException.Show(field)}}}'");
                foreach ((string name, object? value) in call.Named)
                {
                    if (name == field) return value;
                }
                throw call.Wrong($"is not given '{field}'");
            }
            int index = field.Length == 0 ? next++ : int.TryParse(field, NumberStyles.None, CultureInfo.InvariantCulture, out int given) ? given : -1;
            if (index < 0) throw call.Wrong($"knows {{}}, {{0}} and {{name}}, and not '{{{ChatTemplateException.Show(field)}}}'");
            return index < call.Positional.Count ? call.Positional[index] : throw call.Wrong($"has more places than the {call.Positional.Count} values that are put into it");
        }
    }

    private static string Whole(object? value) => value switch
    {
        long number => number.ToString(CultureInfo.InvariantCulture),
        bool flag => flag ? "1" : "0",
        double number when Math.Abs(number) < 1e15 => ((long)number).ToString(CultureInfo.InvariantCulture),
        _ => throw TemplateValue.Wrong(value, "is no number, as %d needs"),
    };
}
