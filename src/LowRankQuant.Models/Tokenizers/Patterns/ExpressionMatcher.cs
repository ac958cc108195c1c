using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LowRankQuant.Models.Tokenizers.Patterns;

/// <summary>
/// Any regular expression, for the patterns that have no scanner of their own. .NET's expressions see UTF-16 units, so a character beyond U+FFFF is shown to them as one
/// of the same category within it.
/// </summary>
internal sealed class ExpressionMatcher : PatternMatcher
{
    private const int LongestPattern = 16384;
    private const int Categories = (int)UnicodeCategory.OtherNotAssigned + 1;
    private static readonly TimeSpan LongestSearch = TimeSpan.FromSeconds(10);
    private readonly string _pattern;
    private readonly Regex _regex;
    private readonly OnigurumaExpression _expression;
    private readonly char[] _substitutes = new char[Categories];

    /// <summary>Reads a pattern.</summary>
    /// <param name="pattern">As tokenizer.json has it.</param>
    /// <exception cref="FormatException">A part of it is not understood.</exception>
    /// <param name="longest">How long a search may take; 10 s if null.</param>
    internal ExpressionMatcher(string pattern, TimeSpan? longest = null)
    {
        if (pattern.Length > LongestPattern) throw new FormatException($"it has {pattern.Length} characters; at most {LongestPattern} are read");
        _pattern = pattern;
        _expression = OnigurumaExpression.Read(pattern);
        try
        {
            _regex = new Regex(_expression.Text, RegexOptions.CultureInvariant, longest ?? LongestSearch);
        }
        catch (ArgumentException error)
        {
            throw new FormatException(error.Message, error);
        }
    }

    internal override bool ReadsInPlace => false;

    internal override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        List<(int Start, int Length)> found = [];
        // From the beginning, as what stands in front may matter to the expression.
        FindAll(text, found);
        (start, length) = found.Find(match => match.Start >= from);
        return length > 0;
    }

    internal override void FindAll(ReadOnlySpan<char> text, List<(int Start, int Length)> found)
    {
        try
        {
            if (text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
            {
                foreach (ValueMatch match in _regex.EnumerateMatches(text))
                {
                    if (match.Length > 0) found.Add((match.Index, match.Length));
                }
                return;
            }
            char[] shown = new char[text.Length];
            int[] places = new int[text.Length + 1];
            int count = 0;
            for (int at = 0; at < text.Length; count++)
            {
                places[count] = at;
                Rune.DecodeFromUtf16(text[at..], out Rune rune, out int length);
                shown[count] = rune.IsBmp ? text[at] : Substitute(Rune.GetUnicodeCategory(rune));
                at += length;
            }
            places[count] = text.Length;
            foreach (ValueMatch match in _regex.EnumerateMatches(shown.AsSpan(0, count)))
            {
                if (match.Length > 0) found.Add((places[match.Index], places[match.Index + match.Length] - places[match.Index]));
            }
        }
        catch (RegexMatchTimeoutException)
        {
            throw TokenizerException.For("pre_tokenizer.pattern", _pattern, $"a text of {text.Length} characters takes it more than {_regex.MatchTimeout.TotalSeconds} s",
                "Use a tokenizer with another pattern, or shorter texts.");
        }
    }

    internal override PatternEdge EdgeAt(CutPoint place) => PatternEdge.Crossed;

    // Every category has a character that no pattern names.
    private char Substitute(UnicodeCategory category)
    {
        ref char known = ref _substitutes[(int)category];
        if (known != 0) return known;
        for (int c = 128; c < char.MaxValue; c++)
        {
            if (char.GetUnicodeCategory((char)c) == category && !_expression.Names((char)c)) return known = (char)c;
        }
        return known = '\uFFFD';
    }
}
