namespace LowRankQuant.Models.Tokenizers.Patterns;

/// <summary>The regular expressions for which there is a scanner. The text of a pattern must be equal, not only its meaning.</summary>
internal static class KnownPatterns
{
    /// <summary>GPT-2's pattern.</summary>
    internal const string Gpt2 = "'s|'t|'re|'ve|'m|'ll|'d" + Gpt2Rest + @"|\s+";

    /// <summary>Llama 3's as llama.cpp spells it: without the long s that ignoring case lets in.</summary>
    internal const string Llama3 = CasedSpelled + Word + @"|\p{N}{1,3}" + Symbols + Spaces;

    /// <summary>Qwen 2's as llama.cpp spells it.</summary>
    internal const string Qwen2 = CasedSpelled + Word + @"|\p{N}" + Symbols + Spaces;

    /// <summary>White space that nothing else took.</summary>
    internal const string Spaces = @"|\s+(?!\S)|\s+";
    private const string Gpt2Rest = @"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
    /// <summary>English endings behind an apostrophe, in either case.</summary>
    internal const string Cased = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    /// <summary>The same as llama.cpp spells them.</summary>
    internal const string CasedSpelled = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
    private const string CasedShort = "'(?i:[sdmt]|ll|ve|re)";
    private const string Symbols = @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+";
    private const string SymbolsPossessive = @"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]";
    private const string Word = @"|[^\r\n\p{L}\p{N}]?\p{L}+";
    private const string WordPossessive = @"|[^\r\n\p{L}\p{N}]?+\p{L}+";

    /// <summary>What finds a pattern: its scanner, or the expression itself.</summary>
    /// <exception cref="FormatException">A part of the pattern is not understood.</exception>
    internal static PatternMatcher Matcher(string pattern) => Find(pattern) ?? new ExpressionMatcher(pattern);

    /// <summary>The scanner of a pattern, or null.</summary>
    internal static PatternMatcher? Find(string pattern) => pattern switch
    {
        Gpt2 => new Gpt2Matcher(),
        "'(?:[sdmt]|ll|ve|re)" + Gpt2Rest + @"|\s+" => new Gpt2Matcher(),
        // Without the last alternative a single space before a word stays unmatched, and an isolated gap is the same piece.
        "'s|'t|'re|'ve|'m|'ll|'d" + Gpt2Rest => new Gpt2Matcher(),
        Llama3 => new Llama3Matcher(3, longS: false),
        Qwen2 => new Llama3Matcher(1, longS: false),
        Cased + Word + @"|\p{N}{1,3}" + Symbols + Spaces => new Llama3Matcher(3, longS: true),
        CasedShort + WordPossessive + @"|\p{N}{1,3}" + SymbolsPossessive + Spaces => new Llama3Matcher(3, longS: true),
        Cased + WordPossessive + @"|\p{N}{1,3}" + SymbolsPossessive + Spaces => new Llama3Matcher(3, longS: true),
        Cased + Word + @"|\p{N}" + Symbols + Spaces => new Llama3Matcher(1, longS: true),
        @"\p{N}" => new RunMatcher(CharKind.Number, longest: 1),
        @"\p{N}{1,3}" => new RunMatcher(CharKind.Number, longest: 3),
        @"\p{N}+" => new RunMatcher(CharKind.Number),
        "[0-9][0-9][0-9]" => new RunMatcher(CharKind.AsciiDigit, shortest: 3, longest: 3),
        @"[\r\n]" => new RunMatcher(CharKind.Newline, longest: 1),
        "[\r\n]" => new RunMatcher(CharKind.Newline, longest: 1),
        @"\s?\p{L}+" => new RunMatcher(CharKind.Letter, spaceBefore: true),
        @"\s?\p{P}+" => new RunMatcher(CharKind.Punctuation, spaceBefore: true),
        @"\s+" => new RunMatcher(CharKind.Space),
        @"[一-龥ࠀ-一가-퟿]+" => new RunMatcher(CharKind.None, ranges: "\u4E00\u9FA5\u0800\u4E00\uAC00\uD7FF"),
        @"[\p{P}\$\+<=>\^~\|]+" => new RunMatcher(CharKind.Punctuation, extra: "$+<=>^~|"),
        @"[\p{P}\$\+<=>\^~\|`]+" => new RunMatcher(CharKind.Punctuation, extra: "$+<=>^~|`"),
        _ => null,
    };
}
