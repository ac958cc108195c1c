using System.Buffers;
using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>The methods of texts, as Python has them.</summary>
internal static class TemplateTextMethods
{
    private static readonly SearchValues<char> LineEnds = SearchValues.Create("\n\r\v\f\u001c\u001d\u001e\u0085\u2028\u2029");

    private static readonly string[] Known =
    [
        "capitalize", "center", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper", "join", "ljust", "lower", "lstrip", "partition",
        "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper",
    ];

    // Python has them as well; a template that only asks for them gets them, and one that calls them is told.
    private static readonly string[] Unknown =
        ["casefold", "encode", "expandtabs", "format_map", "isascii", "isdecimal", "isidentifier", "isnumeric", "isprintable", "istitle", "maketrans", "swapcase", "translate", "zfill"];

    public static bool Knows(string name) => Known.Contains(name) || Unknown.Contains(name);

    public static object? Call(TemplateBudget budget, string text, string name, TemplateCall call)
    {
        switch (name)
        {
            case "upper" or "lower" or "capitalize" or "title" or "isalnum" or "isalpha" or "isdigit" or "islower" or "isspace" or "isupper":
                call.Plain(0, 0);
                return OfAll(text, name);
            case "strip" or "lstrip" or "rstrip":
                call.Plain(0, 1);
                return TemplateLetters.Strip(text, call.First is null ? null : call.Text(call.First), start: name != "rstrip", end: name != "lstrip");
            case "startswith" or "endswith":
                return call.Plain(1, 1)[0] is TemplateSequence { Kind: SequenceKind.Tuple } several ? several.Exists(Ends) : Ends(call.Positional[0]);
            case "replace":
                object?[] replaced = call.Bind(("old", TemplateCall.Required), ("new", TemplateCall.Required), ("count", -1L));
                return Replace(budget, text, call.Text(replaced[0]), call.Text(replaced[1]), call.Whole(replaced[2]));
            case "split" or "rsplit":
                object?[] split = call.Bind(("sep", null), ("maxsplit", -1L));
                return Split(budget, call, text, split[0] is null ? null : call.Text(split[0]), call.Whole(split[1]), fromEnd: name == "rsplit");
            case "splitlines":
                return Lines(budget, text, TemplateValue.Truth(call.Bind(("keepends", false))[0]));
            case "join":
                return Join(text, [.. TemplateValue.Items(call.Plain(1, 1)[0]).Select(call.Text)]);
            case "format":
                return TemplateFormat.Braces(budget, text, call);
            case "count":
                string part = call.Text(call.Plain(1, 1)[0]);
                return part.Length == 0 ? TemplateLetters.Count(text) + 1L : text.AsSpan().Count(part);
            case "find" or "rfind" or "index" or "rindex":
                string wanted = call.Text(call.Plain(1, 1)[0]);
                int at = name[0] == 'r' ? text.LastIndexOf(wanted, StringComparison.Ordinal) : text.IndexOf(wanted, StringComparison.Ordinal);
                if (at < 0 && name.EndsWith("index", StringComparison.Ordinal)) throw call.Wrong("does not find the text");
                return at < 0 ? -1L : TemplateLetters.Count(text.AsSpan(0, at));
            case "removeprefix":
                return text.StartsWith(call.Text(call.Plain(1, 1)[0]), StringComparison.Ordinal) ? text[((string)call.Positional[0]!).Length..] : text;
            case "removesuffix":
                return text.EndsWith(call.Text(call.Plain(1, 1)[0]), StringComparison.Ordinal) ? text[..^((string)call.Positional[0]!).Length] : text;
            case "partition" or "rpartition":
                return Partition(call, text, call.Text(call.Plain(1, 1)[0]), fromEnd: name[0] == 'r');
            case "center" or "ljust" or "rjust":
                string fill = call.Plain(1, 2).Count == 2 ? call.Text(call.Positional[1]) : " ";
                return Wide(budget, text, call.Whole(call.Positional[0]), TemplateLetters.Count(fill) == 1 ? fill : throw call.Wrong("fills with one character"), name);
            default:
                throw call.Wrong($"is not known; {string.Join(", ", Known)} are");
        }

        bool Ends(object? edge) => name == "startswith" ? text.StartsWith(call.Text(edge), StringComparison.Ordinal) : text.EndsWith(call.Text(edge), StringComparison.Ordinal);
    }

    /// <summary>Texts behind each other with one between.</summary>
    public static string Join(string between, IReadOnlyCollection<string> texts)
    {
        TemplateBudget.CheckLength(texts.Sum(text => (long)text.Length) + ((long)between.Length * texts.Count));
        return string.Join(between, texts);
    }

    /// <summary>A text with another in the place of a part, so often at most; below 0 everywhere.</summary>
    public static string Replace(TemplateBudget budget, string text, string old, string with, long count)
    {
        long places = old.Length == 0 ? TemplateLetters.Count(text) + 1L : text.AsSpan().Count(old);
        if (count >= 0) places = Math.Min(places, count);
        TemplateBudget.CheckLength(text.Length + (places * (with.Length - (long)old.Length)));
        if (places == 0) return text;
        var all = new StringBuilder();
        if (old.Length == 0)
        {
            // Nothing stands between any two characters, and at both ends.
            List<object?> letters = TemplateLetters.Apart(text);
            budget.Elements(letters.Count);
            for (int i = 0; i < letters.Count; i++) all.Append(i < places ? with : "").Append((string)letters[i]!);
            return all.Append(places > letters.Count ? with : "").ToString();
        }
        int at = 0;
        for (; places > 0; places--)
        {
            int next = text.IndexOf(old, at, StringComparison.Ordinal);
            all.Append(text, at, next - at).Append(with);
            at = next + old.Length;
        }
        return all.Append(text, at, text.Length - at).ToString();
    }

    /// <summary>The lines of a text.</summary>
    public static List<object?> Lines(TemplateBudget budget, string text, bool keepEnds)
    {
        var lines = new List<object?>();
        for (int at = 0; at < text.Length;)
        {
            budget.Elements(1);
            int length = text.AsSpan(at).IndexOfAny(LineEnds);
            int end = length < 0 ? text.Length : at + length;
            int next = end < text.Length ? end + (text[end] == '\r' && end + 1 < text.Length && text[end + 1] == '\n' ? 2 : 1) : end;
            lines.Add(text[at..(keepEnds ? next : end)]);
            at = next;
        }
        return lines;
    }

    /// <summary>A text with space around it, up to a width.</summary>
    public static string Wide(TemplateBudget budget, string text, long width, string fill, string how)
    {
        long pad = Math.Max(0, width - TemplateLetters.Count(text));
        if (pad > TemplateBudget.Longest) pad = TemplateBudget.Longest;
        TemplateBudget.CheckLength(text.Length + (pad * fill.Length));
        budget.Spend(pad);
        // An odd space is on the left where the width is odd, as Python has it.
        long left = how switch { "center" => (pad / 2) + (pad & width & 1), "rjust" => pad, _ => 0 };
        return string.Concat(Enumerable.Repeat(fill, (int)left)) + text + string.Concat(Enumerable.Repeat(fill, (int)(pad - left)));
    }

    private static object OfAll(string text, string name) => name switch
    {
        "upper" => TemplateLetters.Upper(text),
        "lower" => TemplateLetters.Lower(text),
        "capitalize" => TemplateLetters.Capitalized(text),
        "title" => TemplateLetters.Titled(text),
        "isupper" => TemplateLetters.AllAre(UnicodeCategory.UppercaseLetter, text),
        "islower" => TemplateLetters.AllAre(UnicodeCategory.LowercaseLetter, text),
        "isspace" => text.Length > 0 && text.All(TemplateLetters.IsSpace),
        "isalpha" => All(text, TemplateLetters.IsLetter),
        "isdigit" => All(text, TemplateLetters.IsDigit),
        _ => All(text, TemplateLetters.IsLetterOrNumber),
    };

    private static bool All(string text, Func<Rune, bool> holds)
    {
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (!holds(rune)) return false;
        }
        return text.Length > 0;
    }

    private static TemplateSequence Partition(TemplateCall call, string text, string by, bool fromEnd)
    {
        if (by.Length == 0) throw call.Wrong("needs a separator that is not empty");
        int at = fromEnd ? text.LastIndexOf(by, StringComparison.Ordinal) : text.IndexOf(by, StringComparison.Ordinal);
        if (at < 0) return fromEnd ? TemplateSequence.Tuple("", "", text) : TemplateSequence.Tuple(text, "", "");
        return TemplateSequence.Tuple(text[..at], by, text[(at + by.Length)..]);
    }

    private static List<object?> Split(TemplateBudget budget, TemplateCall call, string text, string? by, long most, bool fromEnd)
    {
        if (by is { Length: 0 }) throw call.Wrong("needs a separator that is not empty");
        if (most < 0) most = long.MaxValue;
        var parts = new List<object?>();
        // What is left to be cut, from one end.
        int from = 0, to = text.Length;
        while (true)
        {
            budget.Elements(1);
            if (by is null)
            {
                while (from < to && TemplateLetters.IsSpace(text[fromEnd ? to - 1 : from]) && (fromEnd ? --to : ++from) >= 0)
                {
                }
                if (from == to) break;
            }
            (int start, int end) = parts.Count < most ? Next(text, by, from, to, fromEnd) : (-1, -1);
            if (start < 0)
            {
                parts.Add(text[from..to]);
                break;
            }
            parts.Add(fromEnd ? text[end..to] : text[from..start]);
            (from, to) = fromEnd ? (from, start) : (end, to);
        }
        if (fromEnd) parts.Reverse();
        return parts;
    }

    // Where the next separator begins and ends; a white space stands for all that are side by side, since those in front of a part are left out.
    private static (int Start, int End) Next(string text, string? by, int from, int to, bool fromEnd)
    {
        ReadOnlySpan<char> rest = text.AsSpan(from, to - from);
        if (by is not null)
        {
            int found = fromEnd ? rest.LastIndexOf(by, StringComparison.Ordinal) : rest.IndexOf(by, StringComparison.Ordinal);
            return found < 0 ? (-1, -1) : (from + found, from + found + by.Length);
        }
        for (int i = 0; i < rest.Length; i++)
        {
            int at = fromEnd ? to - 1 - i : from + i;
            if (TemplateLetters.IsSpace(text[at])) return (at, at + 1);
        }
        return (-1, -1);
    }
}
