using System.Globalization;
using System.Text;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Functions;

/// <summary>The filters behind <c>|</c> that make one value of one; those that go through lists are in <see cref="TemplateListFilters"/>.</summary>
internal static class TemplateFilters
{
    /// <summary>What a filter does.</summary>
    internal delegate object? Filter(TemplateBudget budget, object? value, TemplateCall call);

    private const int MostDigits = 15;
    private const string WordStarts = "- \t\n\r\v\f({[<";

    private static readonly Dictionary<string, Filter> Known = new(TemplateListFilters.Known, StringComparer.Ordinal)
    {
        ["trim"] = (budget, value, call) => call.Bind(("chars", null))[0] is var set ? TemplateLetters.Strip(Text(budget, value), set is null ? null : call.Text(set), start: true, end: true) : null,
        ["upper"] = (budget, value, call) => TemplateLetters.Upper(Only(budget, value, call)),
        ["lower"] = (budget, value, call) => TemplateLetters.Lower(Only(budget, value, call)),
        ["capitalize"] = (budget, value, call) => TemplateLetters.Capitalized(Only(budget, value, call)),
        ["title"] = (budget, value, call) => Title(Only(budget, value, call)),
        ["string"] = (budget, value, call) => value is TemplateMarkup && call.Plain(0, 0).Count == 0 ? value : Only(budget, value, call),
        ["safe"] = (budget, value, call) => value as TemplateMarkup ?? new TemplateMarkup(Only(budget, value, call)),
        ["escape"] = (budget, value, call) => value as TemplateMarkup ?? new TemplateMarkup(Escape(Only(budget, value, call))),
        ["wordcount"] = (budget, value, call) => Words(Only(budget, value, call)),
        ["replace"] = Replace,
        ["indent"] = Indent,
        ["center"] = (budget, value, call) => TemplateTextMethods.Wide(budget, Text(budget, value), call.Whole(call.Bind(("width", 80L))[0]), " ", "center"),
        ["format"] = (budget, value, call) => TemplateFormat.Percent(budget, Text(budget, value), call.Named.Count > 0 ? throw call.Wrong("with names is not known") : call.Positional, mayBeLeft: false),
        ["default"] = (_, value, call) => call.Bind(("default_value", ""), ("boolean", false)) is [var otherwise, var all] && (value is Undefined || (TemplateValue.Truth(all) && !TemplateValue.Truth(value))) ? otherwise : value,
        ["int"] = Int,
        ["float"] = (_, value, call) => Float(value) ?? call.Bind(("default", 0.0))[0],
        ["abs"] = (_, value, call) => call.Plain(0, 0).Count == 0 ? TemplateArithmetic.Absolute(value) : null,
        ["round"] = Round,
        ["attr"] = (budget, value, call) => TemplateText.Of(call.Bind(("name", TemplateCall.Required))[0], budget) is var name && value is TemplateNamespace ? TemplateMembers.Attribute(value, name) : TemplateMembers.Own(value, name) ?? new Undefined(name),
        ["tojson"] = (budget, value, call) => TemplateJson.Of(value, call, budget),
    };

    private static readonly Dictionary<string, string> Others = new(StringComparer.Ordinal) { ["d"] = "default", ["e"] = "escape", ["count"] = "length" };

    // What Jinja does with a text that is safe as with any other.
    private static readonly string[] OfMarkup = ["safe", "escape", "string", "default", "length", "tojson", "wordcount"];

    /// <summary>Fails where there is no filter of this name.</summary>
    public static void Check(string name) => Find(name);

    /// <summary>What a filter makes of a value.</summary>
    public static object? Apply(TemplateBudget budget, string name, object? value, TemplateCall call)
    {
        Filter filter = Find(name);
        TemplateBudget.CheckStack();
        budget.Look(value);
        if (value is TemplateMarkup && !OfMarkup.Contains(Others.GetValueOrDefault(name, name)))
            throw new ChatTemplateException($"The chat template: '{name}' of a text that 'safe' or 'escape' made is not known.");
        return budget.Pay(filter(budget, value is TemplateMarkup markup && name is "tojson" or "wordcount" ? Text(budget, value) : value, call));
    }

    /// <summary>A value as text, for filters.</summary>
    public static string Text(TemplateBudget budget, object? value) => TemplateText.Of(value, budget);

    private static Filter Find(string name) => Known.TryGetValue(Others.GetValueOrDefault(name, name), out Filter? filter)
        ? filter
        : throw new ChatTemplateException($"The chat template: the filter '{ChatTemplateException.Show(name)}' is not known; {string.Join(", ", Known.Keys.Concat(Others.Keys))} are.");

    private static string Only(TemplateBudget budget, object? value, TemplateCall call)
    {
        call.Plain(0, 0);
        return Text(budget, value);
    }

    // Words begin behind spaces, dashes and opening brackets: other than the method of texts of this name.
    private static string Title(string text)
    {
        var all = new StringBuilder(text.Length);
        for (int at = 0; at < text.Length;)
        {
            int start = at;
            while (at < text.Length && !IsStart(text[at])) at++;
            if (at > start)
            {
                int first = char.IsSurrogatePair(text[start..at], 0) ? 2 : 1;
                all.Append(TemplateLetters.Upper(text.Substring(start, first))).Append(TemplateLetters.Lower(text[(start + first)..at]));
            }
            for (; at < text.Length && IsStart(text[at]); at++) all.Append(text[at]);
        }
        return all.ToString();

        static bool IsStart(char c) => WordStarts.Contains(c, StringComparison.Ordinal) || TemplateLetters.IsSpace(c);
    }

    private static long Words(string text)
    {
        long words = 0;
        bool within = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool part = rune.Value == '_' || TemplateLetters.IsLetterOrNumber(rune);
            if (part && !within) words++;
            within = part;
        }
        return words;
    }

    private static string Escape(string text)
    {
        TemplateBudget.CheckLength(5L * text.Length);
        return text.Replace("&", "&amp;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal)
            .Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);
    }

    private static string Replace(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("old", TemplateCall.Required), ("new", TemplateCall.Required), ("count", null));
        return TemplateTextMethods.Replace(budget, Text(budget, value), Text(budget, given[0]), Text(budget, given[1]), given[2] is null ? -1 : call.Whole(given[2]));
    }

    private static string Indent(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("width", 4L), ("first", false), ("blank", false));
        string space = given[0] as string ?? TemplateTextMethods.Wide(budget, "", call.Whole(given[0]), " ", "ljust");
        bool blank = TemplateValue.Truth(given[2]);
        List<object?> lines = TemplateTextMethods.Lines(budget, call.Text(value) + "\n", keepEnds: false);
        var all = new StringBuilder();
        for (int i = 0; i < lines.Count; i++)
        {
            string line = (string)lines[i]!;
            if (i > 0) budget.Append(all, "\n");
            if (i == 0 ? TemplateValue.Truth(given[1]) : blank || line.Length > 0) budget.Append(all, space);
            budget.Append(all, line);
        }
        return all.ToString();
    }

    private static object? Int(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("default", 0L), ("base", 10L));
        if (given[1] is not 10L) throw call.Wrong("with a base other than 10 is not known");
        switch (value)
        {
            case Undefined:
                throw TemplateValue.Wrong(value, "is no number");
            case long or bool:
                return call.Whole(value);
            case string text when long.TryParse(Digits(text), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number):
                return number;
        }
        return Float(value) switch
        {
            null => given[0],
            double number when double.IsFinite(number) && Math.Abs(number) < 9e18 => (long)number,
            double number when double.IsFinite(number) => throw call.Wrong("makes a whole number of more than 64 bits"),
            _ => given[0],
        };
    }

    // Null where Python makes no number of it.
    private static double? Float(object? value) => value switch
    {
        Undefined => throw TemplateValue.Wrong(value, "is no number"),
        long or double or bool => TemplateValue.Number(value),
        string text when double.TryParse(Digits(text), NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out double number) && text.AsSpan().IndexOfAnyInRange('0', '9') >= 0 => number,
        string text when text.Contains("inf", StringComparison.OrdinalIgnoreCase) || text.Contains("nan", StringComparison.OrdinalIgnoreCase) => throw new ChatTemplateException("The chat template makes a number of a text with 'inf' or 'nan', which is not known."),
        _ => null,
    };

    // What Python takes for a number beside signs and digits: space around it, and lines between digits.
    private static string Digits(string text)
    {
        text = TemplateLetters.Strip(text, null, start: true, end: true);
        if (!text.Contains('_', StringComparison.Ordinal)) return text;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '_' && (i == 0 || i + 1 == text.Length || !char.IsAsciiDigit(text[i - 1]) || !char.IsAsciiDigit(text[i + 1]))) return "";
        }
        return text.Replace("_", "", StringComparison.Ordinal);
    }

    private static object Round(TemplateBudget budget, object? value, TemplateCall call)
    {
        object?[] given = call.Bind(("precision", 0L), ("method", "common"));
        long digits = call.Whole(given[0]);
        if (digits is < 0 or > MostDigits) throw call.Wrong($"knows 0 to {MostDigits} digits");
        double number = TemplateValue.Number(value), power = Math.Pow(10, digits);
        switch (given[1])
        {
            case "common" when value is long or bool:
                return call.Whole(value);
            case "common":
                return Nearest(number, (int)digits);
            case "ceil" or "floor":
                // Whole numbers of Python have no zero below zero.
                return ((given[1] is "ceil" ? Math.Ceiling(number * power) : Math.Floor(number * power)) + 0.0) / power;
            default:
                throw call.Wrong("knows common, ceil and floor");
        }
    }

    // By all digits that the number has, to the even one where it stands in the middle: a product with a power of ten would be rounded itself.
    private static double Nearest(double number, int digits)
    {
        // From here on there are whole numbers only.
        if (!double.IsFinite(number) || Math.Abs(number) >= 1L << 52) return number;
        string all = Math.Abs(number).ToString("F1074", CultureInfo.InvariantCulture);
        int cut = all.IndexOf('.', StringComparison.Ordinal) + 1 + digits;
        ReadOnlySpan<char> kept = all.AsSpan(0, cut), rest = all.AsSpan(cut);
        decimal rounded = decimal.Parse(kept.TrimEnd('.'), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture);
        bool middle = rest[0] == '5' && rest[1..].TrimEnd('0').Length == 0;
        char last = kept.TrimEnd('.')[^1];
        if (middle ? (last - '0') % 2 == 1 : rest[0] >= '5') rounded += new decimal(1, 0, 0, isNegative: false, (byte)digits);
        // By way of its digits, whose nearest number is what Python gives.
        double nearest = double.Parse(rounded.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        return double.CopySign(nearest, number);
    }
}
