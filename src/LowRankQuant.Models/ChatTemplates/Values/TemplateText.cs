using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>What values look like where they are put out: Python's <c>str</c>, and <c>repr</c> within lists and mappings.</summary>
internal static class TemplateText
{
    /// <summary>As Python's <c>str</c>.</summary>
    public static string Of(object? value, TemplateBudget budget)
    {
        switch (value)
        {
            case string text:
                return text;
            case TemplateMarkup markup:
                return markup.Text;
            case Undefined:
                return "";
            case List<object?> or Dictionary<string, object?>:
                var all = new StringBuilder();
                Append(all, value, budget, 0);
                return all.ToString();
            default:
                return Plain(value);
        }
    }

    /// <summary>A number as Python's <c>repr</c>: one with a fraction always has a point or an exponent, which begins at 1e16.</summary>
    public static string Number(double number)
    {
        if (!double.IsFinite(number)) return double.IsNaN(number) ? "nan" : number > 0 ? "inf" : "-inf";
        // The fewest digits that lead back to the number, wherever .NET puts the point.
        string text = Math.Abs(number).ToString("R", CultureInfo.InvariantCulture), sign = double.IsNegative(number) ? "-" : "";
        int exponent = 0;
        if (text.IndexOf('E', StringComparison.Ordinal) is var mark and >= 0) (exponent, text) = (int.Parse(text.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture), text[..mark]);
        int point = text.IndexOf('.', StringComparison.Ordinal);
        string digits = text.Replace(".", "", StringComparison.Ordinal);
        // How many digits stand in front of the point.
        int before = (point < 0 ? digits.Length : point) + exponent;
        before -= digits.Length - digits.TrimStart('0').Length;
        digits = digits.Trim('0');
        if (digits.Length == 0) return sign + "0.0";
        if (before is <= -4 or > 16)
        {
            int power = before - 1;
            return $"{sign}{digits[0]}{(digits.Length > 1 ? "." : "")}{digits[1..]}e{(power < 0 ? '-' : '+')}{Math.Abs(power).ToString("00", CultureInfo.InvariantCulture)}";
        }
        if (before <= 0) return $"{sign}0.{new string('0', -before)}{digits}";
        return before >= digits.Length ? $"{sign}{digits.PadRight(before, '0')}.0" : $"{sign}{digits[..before]}.{digits[before..]}";
    }

    private static string Plain(object? value) => value switch
    {
        null => "None",
        bool flag => flag ? "True" : "False",
        long number => number.ToString(CultureInfo.InvariantCulture),
        double number => Number(number),
        Undefined => "Undefined",
        TemplateFunction function => throw new ChatTemplateException($"The chat template puts out the function '{function.Name}' and not what it gives."),
        _ => throw new ChatTemplateException("The chat template puts out a namespace, a loop, or what a filter such as 'map' gives; only texts, numbers, lists and mappings are known."),
    };

    private static void Append(StringBuilder all, object? value, TemplateBudget budget, int depth)
    {
        budget.Look(value);
        TemplateValue.CheckDepth(depth);
        switch (value)
        {
            case string text:
                budget.Append(all, Quoted(text));
                break;
            case TemplateSequence { Kind: SequenceKind.Range } range:
                budget.Append(all, range.Shown.Length > 0 ? range.Shown : throw new ChatTemplateException("The chat template puts out a part of a range; 'list' makes it a list."));
                break;
            case TemplateSequence { Kind: SequenceKind.View } view:
                budget.Append(all, view.Shown + "([");
                AppendAll(all, view, budget, depth);
                budget.Append(all, "])");
                break;
            case TemplateSequence tuple:
                budget.Append(all, "(");
                AppendAll(all, tuple, budget, depth);
                budget.Append(all, tuple.Count == 1 ? ",)" : ")");
                break;
            case List<object?> list:
                budget.Append(all, "[");
                AppendAll(all, list, budget, depth);
                budget.Append(all, "]");
                break;
            case Dictionary<string, object?> map:
                budget.Append(all, "{");
                bool first = true;
                foreach ((string key, object? member) in map)
                {
                    budget.Append(all, (first ? "" : ", ") + Quoted(key) + ": ");
                    first = false;
                    Append(all, member, budget, depth + 1);
                }
                budget.Append(all, "}");
                break;
            case TemplateMarkup:
                throw new ChatTemplateException("The chat template puts out a list with a text that 'safe' or 'escape' made, which is not known.");
            default:
                budget.Append(all, Plain(value));
                break;
        }
    }

    private static void AppendAll(StringBuilder all, List<object?> items, TemplateBudget budget, int depth)
    {
        for (int i = 0; i < items.Count; i++)
        {
            if (i > 0) all.Append(", ");
            Append(all, items[i], budget, depth + 1);
        }
    }

    private static string Quoted(string text)
    {
        char quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        var all = new StringBuilder(text.Length + 2).Append(quote);
        foreach (Rune rune in text.EnumerateRunes())
        {
            string shown = rune.Value switch
            {
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\\' => "\\\\",
                _ when rune.Value == quote => "\\" + quote,
                _ when IsShown(rune) => rune.ToString(),
                < 0x100 => $"\\x{rune.Value:x2}",
                < 0x10000 => $"\\u{rune.Value:x4}",
                _ => $"\\U{rune.Value:x8}",
            };
            all.Append(shown);
        }
        return all.Append(quote).ToString();
    }

    private static bool IsShown(Rune rune) => rune.Value == ' ' || Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate
        or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);
}
