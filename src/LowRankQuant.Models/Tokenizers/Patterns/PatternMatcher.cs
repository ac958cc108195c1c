namespace LowRankQuant.Models.Tokenizers.Patterns;

/// <summary>Finds the matches of one known pattern in a text, left to right, as a regular expression engine would.</summary>
internal abstract class PatternMatcher
{
    /// <summary>Finds the first match at or after <paramref name="from"/>; matches are never empty.</summary>
    internal abstract bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length);

    /// <summary>Whether a search may begin anywhere in a text at no cost, so that matches can be asked for one by one.</summary>
    internal virtual bool ReadsInPlace => true;

    /// <summary>Appends all matches of a text, from left to right.</summary>
    internal virtual void FindAll(ReadOnlySpan<char> text, List<(int Start, int Length)> found)
    {
        for (int end = 0; end < text.Length && TryFind(text, end, out int start, out int length); end = start + length) found.Add((start, length));
    }

    /// <summary>What is known of matches at a place from the two characters beside it alone.</summary>
    internal abstract PatternEdge EdgeAt(CutPoint place);

    /// <summary>The kinds of the characters beside a place.</summary>
    protected static (CharKind Before, CharKind After) Kinds(CutPoint place) => (CharClass.At([place.Before], 0, out _), CharClass.At([place.After], 0, out _));

    /// <summary>The end of a word, or of a number: every part of the patterns of GPT-2 and Llama 3 that takes their last character ends there.</summary>
    protected static bool IsWordEnd(CharKind before, CharKind after) => (before & (CharKind.Letter | CharKind.Number) & ~after) != 0;

    /// <summary>End of the run of characters that have any of the wanted kinds.</summary>
    protected static int RunEnd(ReadOnlySpan<char> text, int from, CharKind wanted)
    {
        int at = from;
        while (at < text.Length && (CharClass.At(text, at, out int length) & wanted) != 0) at += length;
        return at;
    }

    /// <summary>End of the run of characters that have none of the kinds.</summary>
    protected static int RunEndWithout(ReadOnlySpan<char> text, int from, CharKind unwanted)
    {
        int at = from;
        while (at < text.Length && (CharClass.At(text, at, out int length) & unwanted) == 0) at += length;
        return at;
    }

    /// <summary>Length of one of 's 't 're 've 'm 'll 'd at a position, or 0.</summary>
    protected static int Contraction(ReadOnlySpan<char> text, int at, bool ignoreCase, bool longS)
    {
        if (text[at] != '\'' || at + 1 >= text.Length) return 0;
        char first = text[at + 1];
        if (ignoreCase) first = char.ToLowerInvariant(first);
        if (first is 's' or 't' or 'm' or 'd' || (longS && first == '\u017F')) return 2;
        if (at + 2 >= text.Length) return 0;
        char second = text[at + 2];
        if (ignoreCase) second = char.ToLowerInvariant(second);
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    /// <summary>White space that nothing else took: all of it, but for the last character if a word follows.</summary>
    protected static int SpaceRun(ReadOnlySpan<char> text, int at, int end)
    {
        if (end == text.Length) return end - at;
        int last = end - Utf16.RuneLengthBefore(text, end);
        return last > at ? last - at : end - at;
    }
}

/// <summary>The pattern of GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</summary>
internal sealed class Gpt2Matcher : PatternMatcher
{
    private const CharKind Classes = CharKind.Space | CharKind.Letter | CharKind.Number;

    internal override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        start = from;
        length = from < text.Length ? Match(text, from) : 0;
        return length > 0;
    }

    // In front of white space every match ends, and the next looks at nothing before it.
    internal override PatternEdge EdgeAt(CutPoint place)
    {
        (CharKind before, CharKind after) = Kinds(place);
        return IsWordEnd(before, after) || (~before & after & CharKind.Space) != 0 ? PatternEdge.Edge : PatternEdge.Crossed;
    }

    private static int Match(ReadOnlySpan<char> text, int at)
    {
        int contraction = Contraction(text, at, ignoreCase: false, longS: false);
        if (contraction > 0) return contraction;
        int word = text[at] == ' ' && at + 1 < text.Length ? at + 1 : at;
        CharKind kind = CharClass.At(text, word, out _);
        if ((kind & CharKind.Letter) != 0) return RunEnd(text, word, CharKind.Letter) - at;
        if ((kind & CharKind.Number) != 0) return RunEnd(text, word, CharKind.Number) - at;
        if ((kind & CharKind.Space) == 0) return RunEndWithout(text, word, Classes) - at;
        return SpaceRun(text, at, RunEnd(text, at, CharKind.Space));
    }
}

/// <summary>
/// The pattern of Llama 3 (three digits a piece) and Qwen 2 (one):
/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// </summary>
internal sealed class Llama3Matcher(int longestNumber, bool longS) : PatternMatcher
{
    private const CharKind Classes = CharKind.Space | CharKind.Letter | CharKind.Number;

    internal int LongestNumber => longestNumber;

    internal override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        start = from;
        length = from < text.Length ? Match(text, from) : 0;
        return length > 0;
    }

    // As GPT-2's, but line ends belong to the punctuation in front of them.
    internal override PatternEdge EdgeAt(CutPoint place)
    {
        (CharKind before, CharKind after) = Kinds(place);
        bool beforeSpace = (~before & after & CharKind.Space) != 0 && (after & CharKind.Newline) == 0;
        return IsWordEnd(before, after) || beforeSpace ? PatternEdge.Edge : PatternEdge.Crossed;
    }

    private int Match(ReadOnlySpan<char> text, int at)
    {
        int contraction = Contraction(text, at, ignoreCase: true, longS);
        if (contraction > 0) return contraction;
        CharKind kind = CharClass.At(text, at, out int length);
        if ((kind & CharKind.Letter) != 0) return RunEnd(text, at, CharKind.Letter) - at;
        if ((kind & CharKind.Number) != 0) return Digits(text, at) - at;
        int next = at + length;
        CharKind nextKind = next < text.Length ? CharClass.At(text, next, out _) : CharKind.None;
        if ((kind & CharKind.Newline) == 0 && (nextKind & CharKind.Letter) != 0) return RunEnd(text, next, CharKind.Letter) - at;
        bool spaceBefore = text[at] == ' ' && next < text.Length && (nextKind & Classes) == 0;
        if (spaceBefore || (kind & CharKind.Space) == 0)
            return RunEnd(text, RunEndWithout(text, at + (spaceBefore ? 1 : 0), Classes), CharKind.Newline) - at;
        int end = RunEnd(text, at, CharKind.Space);
        int newline = text[at..end].LastIndexOfAny('\r', '\n');
        return newline >= 0 ? newline + 1 : SpaceRun(text, at, end);
    }

    private int Digits(ReadOnlySpan<char> text, int at)
    {
        for (int count = 0; count < longestNumber && at < text.Length; count++)
        {
            if ((CharClass.At(text, at, out int length) & CharKind.Number) == 0) break;
            at += length;
        }
        return at;
    }
}

/// <summary>
/// Runs of characters that have any of the wanted kinds, or are among some more characters or ranges; at most <c>longest</c>, at least
/// <c>shortest</c> characters a match, with an optional white-space character before them.
/// </summary>
internal sealed class RunMatcher(
    CharKind wanted, int shortest = 1, int longest = int.MaxValue, string extra = "", string ranges = "", bool spaceBefore = false) : PatternMatcher
{
    /// <summary>Whether every match is one numeric character.</summary>
    internal bool IsSingleNumber => wanted == CharKind.Number && longest == 1 && extra.Length == 0 && ranges.Length == 0 && !spaceBefore;

    internal override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        for (start = from; start < text.Length;)
        {
            CharClass.At(text, start, out int step);
            int at = start;
            if (spaceBefore && (CharClass.At(text, at, out _) & CharKind.Space) != 0) at += step;
            int end = at;
            int count = 0;
            while (count < longest && end < text.Length && IsWanted(text, end, out int next))
            {
                end += next;
                count++;
            }
            if (count >= shortest)
            {
                length = end - start;
                return true;
            }
            start += step;
        }
        length = 0;
        return false;
    }

    internal override PatternEdge EdgeAt(CutPoint place)
    {
        bool before = IsWanted([place.Before], 0, out _), after = IsWanted([place.After], 0, out _);
        bool asSpace = spaceBefore && (Kinds(place).Before & CharKind.Space) != 0;
        if (after && (before || asSpace)) return PatternEdge.Crossed;
        return before != after && shortest == 1 ? PatternEdge.Edge : PatternEdge.Uncrossed;
    }

    private bool IsWanted(ReadOnlySpan<char> text, int at, out int length)
    {
        if ((CharClass.At(text, at, out length) & wanted) != 0) return true;
        char c = text[at];
        if (extra.Contains(c)) return true;
        for (int i = 0; i + 1 < ranges.Length; i += 2)
        {
            if (c >= ranges[i] && c <= ranges[i + 1]) return true;
        }
        return false;
    }
}

/// <summary>A fixed string.</summary>
internal sealed class LiteralMatcher(string pattern) : PatternMatcher
{
    internal string Pattern => pattern;

    internal override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        int found = pattern.Length == 0 ? -1 : text[from..].IndexOf(pattern, StringComparison.Ordinal);
        start = from + found;
        length = pattern.Length;
        return found >= 0;
    }

    internal override PatternEdge EdgeAt(CutPoint place)
    {
        if (place.MayLieWithin(pattern)) return PatternEdge.Crossed;
        return pattern.Length == 1 && (place.Before == pattern[0] || place.After == pattern[0]) ? PatternEdge.Edge : PatternEdge.Uncrossed;
    }
}

/// <summary>Words and runs of other characters that are not white space: \w+|[^\w\s]+</summary>
internal sealed class WordMatcher : PatternMatcher
{
    internal override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        start = RunEnd(text, from, CharKind.Space);
        length = 0;
        if (start >= text.Length) return false;
        bool word = (CharClass.At(text, start, out _) & CharKind.Word) != 0;
        length = (word ? RunEnd(text, start, CharKind.Word) : RunEndWithout(text, start, CharKind.Word | CharKind.Space)) - start;
        return true;
    }

    internal override PatternEdge EdgeAt(CutPoint place)
    {
        (CharKind before, CharKind after) = Kinds(place);
        CharKind last = before & (CharKind.Word | CharKind.Space), first = after & (CharKind.Word | CharKind.Space);
        if (last != first) return PatternEdge.Edge;
        return first == CharKind.Space ? PatternEdge.Uncrossed : PatternEdge.Crossed;
    }
}
