using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>Texts as Python has them: of characters, where .NET counts the halves of those beyond 16 bits.</summary>
internal static class TemplateLetters
{
    /// <summary>Most that a text is taken apart into, and most elements of a list.</summary>
    public const int Most = 1 << 20;

    // What becomes several characters, which .NET leaves as it is.
    private static readonly (string Small, string Large)[] Longer =
        [("ß", "SS"), ("ŉ", "ʼN"), ("ǰ", "J\u030c"), ("ﬀ", "FF"), ("ﬁ", "FI"), ("ﬂ", "FL"), ("ﬃ", "FFI"), ("ﬄ", "FFL"), ("ﬅ", "ST"), ("ﬆ", "ST"), ("ı", "I"), ("ſ", "S")];

    public static bool HasPairs(string text) => text.AsSpan().IndexOfAnyInRange('\ud800', '\udfff') >= 0;

    public static int Count(ReadOnlySpan<char> text)
    {
        int count = 0;
        for (int i = 0; i < text.Length; i++, count++)
        {
            if (IsPair(text, i)) i++;
        }
        return count;
    }

    /// <summary>The characters.</summary>
    public static List<object?> Apart(string text)
    {
        if (text.Length > Most) throw new ChatTemplateException($"The chat template takes a text of {text.Length} characters apart; at most {Most} are taken.");
        var letters = new List<object?>(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            int length = IsPair(text, i) ? 2 : 1;
            letters.Add(text.Substring(i, length));
            i += length - 1;
        }
        return letters;
    }

    /// <summary>What Python takes for white space; .NET leaves four separators out.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\x1c' and <= '\x1f';

    public static bool IsLetter(Rune rune) => Rune.IsLetter(rune);

    public static bool IsLetterOrNumber(Rune rune) => Rune.IsLetterOrDigit(rune) || CharUnicodeInfo.GetNumericValue(rune.ToString(), 0) != -1;

    public static bool IsDigit(Rune rune) => CharUnicodeInfo.GetDigitValue(rune.ToString(), 0) >= 0;

    /// <summary>Whether there is a character that has cases, and all such are of one.</summary>
    public static bool AllAre(UnicodeCategory wanted, string text)
    {
        bool found = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            UnicodeCategory category = Rune.GetUnicodeCategory(rune);
            if (!IsCased(category)) continue;
            if (category != wanted) return false;
            found = true;
        }
        return found;
    }

    public static string Upper(string text)
    {
        text = text.ToUpperInvariant();
        if (System.Text.Ascii.IsValid(text)) return text;
        foreach ((string small, string large) in Longer) text = text.Replace(small, large, StringComparison.Ordinal);
        return text;
    }

    public static string Lower(string text)
    {
        string lower = text.ToLowerInvariant();
        if (System.Text.Ascii.IsValid(text)) return lower;
        lower = lower.Replace("İ", "i\u0307", StringComparison.Ordinal);
        if (!text.Contains('Σ', StringComparison.Ordinal)) return lower;
        // A sigma at the end of a word has a form of its own.
        var letters = new StringBuilder(lower.Length);
        for (int i = 0; i < lower.Length; i++)
            letters.Append(lower[i] == 'σ' && i < text.Length && text[i] == 'Σ' && i > 0 && char.IsLetter(lower[i - 1]) && (i + 1 == lower.Length || !char.IsLetter(lower[i + 1])) ? 'ς' : lower[i]);
        return letters.ToString();
    }

    /// <summary>The first character large, all others small; of two letters in one character the first is.</summary>
    public static string Capitalized(string text)
    {
        if (text.Length == 0) return text;
        int first = IsPair(text, 0) ? 2 : 1;
        string large = Upper(text[..first]);
        // A letter that becomes two begins with one large one.
        if (first == 1 && large.Length > 1) large = large[..1] + Lower(large[1..]);
        large = large switch { "Ǆ" => "ǅ", "Ǉ" => "ǈ", "Ǌ" => "ǋ", "Ǳ" => "ǲ", _ => large };
        return large + Lower(text[first..]);
    }

    /// <summary>As Python's <c>title</c>: what stands behind anything but a letter with cases begins a word.</summary>
    public static string Titled(string text)
    {
        var all = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length;)
        {
            int start = i;
            while (i < text.Length && IsCased(char.GetUnicodeCategory(text, i))) i += IsPair(text, i) ? 2 : 1;
            if (i > start) all.Append(Capitalized(text[start..i]));
            else all.Append(text[i++]);
        }
        return all.ToString();
    }

    /// <summary>Without characters of a set at the ends; without white space where there is no set.</summary>
    public static string Strip(string text, string? set, bool start, bool end)
    {
        int from = 0, to = text.Length;
        if (set is not null && HasPairs(set)) return StripPairs(text, set, start, end);
        while (start && from < to && Goes(text[from])) from++;
        while (end && to > from && Goes(text[to - 1])) to--;
        return text[from..to];

        bool Goes(char c) => set is null ? IsSpace(c) : set.Contains(c, StringComparison.Ordinal);
    }

    /// <summary>Which of two texts comes first, by their characters.</summary>
    public static int Compare(string a, string b)
    {
        int same = a.AsSpan().CommonPrefixLength(b);
        if (same == a.Length || same == b.Length) return a.Length.CompareTo(b.Length);
        // Halves stand below the last characters of 16 bits, and what they make stands above.
        bool halfA = char.IsSurrogate(a[same]), halfB = char.IsSurrogate(b[same]);
        return halfA != halfB ? halfA.CompareTo(halfB) : a[same].CompareTo(b[same]);
    }

    private static string StripPairs(string text, string set, bool start, bool end)
    {
        var set2 = Apart(set).ToHashSet();
        List<object?> letters = Apart(text);
        int from = 0, to = letters.Count;
        while (start && from < to && set2.Contains(letters[from])) from++;
        while (end && to > from && set2.Contains(letters[to - 1])) to--;
        return string.Concat(letters[from..to]);
    }

    private static bool IsCased(UnicodeCategory category) => category is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter;

    private static bool IsPair(ReadOnlySpan<char> text, int i) => i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]);
}
