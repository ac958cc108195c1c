using System.Text.Json;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Models.Tokenizers.Patterns;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>Patterns that have no scanner of their own.</summary>
public sealed class PreTokenizerExpressionTests
{
    [Theory]
    // Words in one case, as gpt-4o's tokenizer cuts them; 𝐀 and 𝐚 are capital and small beyond U+FFFF, 😀 neither.
    [InlineData(@"[\p{Lu}\p{Lo}]*[\p{Ll}\p{Lo}]+(?i:'s|'t)?|[\p{Lu}\p{Lo}]+", "camelCaseABC'Sx \U0001D400\U0001D41A\U0001D400 \U0001F600y", "camel|Case|ABC|'|Sx| |\U0001D400\U0001D41A|\U0001D400| \U0001F600|y")]
    [InlineData(@"[a-z]+(?i:'s)", "it's it'S it'\u017F", "it's| |it'S| |it'\u017F")]
    [InlineData(@"(?i:[k-s]+)", "aKS\u017F\u212Ab", "a|KS\u017F\u212A|b")]
    // A possessive quantifier gives nothing back; counted, the plus repeats the whole.
    [InlineData(@"\d++1|x", "1231x", "1231|x")]
    [InlineData(@"\p{N}{1,3}+x", "12345x", "12345x")]
    [InlineData(@"a?+ab|b", "aabab", "aab|a|b")]
    [InlineData(@" ?[^(\s|[.,!?])]+", "a b(c|d]e,f", "a| b|(|c|||d]e|,|f")]
    [InlineData(@"[\]\-a]+|[-]|[^\^b]", "a]-b^c", "a]-|b^|c")]
    [InlineData(@"\x{4E00}+|\u4e01|\x41", "\u4E00\u4E00\u4E01A", "\u4E00\u4E00|\u4E01|A")]
    [InlineData(@"\w+", "don\u2019t a\u0301_\u0661 \u00BD", "don|\u2019|t| |a\u0301_\u0661| \u00BD")]
    [InlineData(@"\s+(?!\S)|\s+", "a  b \n", "a| | |b| \n")]
    [InlineData(@"(?<=a)b|c{,2}d|a{", "abbccda{", "a|b|b|ccd|a{")]
    [InlineData(@"[\P{L}]|\p{^L}", "a1", "a|1")]
    public void TheMatchesAndWhatLiesBetweenThemAreCut(string pattern, string text, string expected) => Assert.Equal(expected, Cut(pattern, text));

    [Theory]
    [InlineData(@"\p{Han}+", "'\\p{Han}' at character 0: the general categories of Unicode are known here")]
    [InlineData(@"[\p{L}&&[^a]]", "'&&' at character 6: intersections of sets are not known here")]
    [InlineData("[a[^b]]", "'[^' at character 2: negated and named sets within sets")]
    [InlineData("[[:alpha:]]", "'[:' at character 1: negated and named sets within sets")]
    [InlineData("a|^b", "'^' at character 2: beginnings and ends of lines")]
    [InlineData("(?<n>a)", "'(?<n' at character 0: this kind of group")]
    [InlineData(@"(a)\1", "'\\1' at character 3: this is not known here")]
    [InlineData("(?i:\u00E9)", "beyond ASCII")]
    [InlineData("a{2}?", "lazy counts")]
    [InlineData("a{1,5000}", "'{1,5000}' at character 1: at most 1000 repeats")]
    [InlineData("(a", "a group is not closed")]
    [InlineData("a)", "')' at character 1: no group is open")]
    [InlineData("[a", "a set is not closed")]
    [InlineData("*a", "a quantifier needs something in front of it")]
    [InlineData("[b-a]", "a range goes up")]
    [InlineData("\U0001F600", "beyond U+FFFF")]
    [InlineData(@"\u12", "this is not the code of a character")]
    [InlineData("a\\", "nothing follows it")]
    public void WhatDotNetWouldReadOtherwiseIsRefused(string pattern, string message)
    {
        TokenizerException refused = Assert.Throws<TokenizerException>(() => Cut(pattern, "a"));
        Assert.StartsWith("pre_tokenizer: pattern.Regex", refused.Message, StringComparison.Ordinal);
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void APatternThatWouldNeverEndIsStopped()
    {
        var matcher = new ExpressionMatcher("(?:a|aa)+b", TimeSpan.FromMilliseconds(50));
        TokenizerException stopped = Assert.Throws<TokenizerException>(() => matcher.FindAll(new string('a', 60) + "cb", []));
        Assert.Contains("(?:a|aa)+b", stopped.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ExpressionsCutAsTheScannersDo()
    {
        string text = "It'S 1234 \u0660\u0661  x\n\n  y!!\r\nz \t a\U0001D400 \U0001D7CE'\u017F \u00BD\u4E00-\u0301 we'll\u00A0 \u3000b";
        foreach (string pattern in new[]
        {
            KnownPatterns.Gpt2, KnownPatterns.Llama3, KnownPatterns.Qwen2, @"\p{N}{1,3}", @"[\p{P}\$\+<=>\^~\|]+", @"\s?\p{L}+",
            @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            @"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        })
        {
            List<(int, int)> scanned = [], matched = [];
            KnownPatterns.Find(pattern)!.FindAll(text, scanned);
            new ExpressionMatcher(pattern).FindAll(text, matched);
            Assert.Equal(scanned, matched);
        }
    }

    private static string Cut(string pattern, string text)
    {
        string stage = JsonSerializer.Serialize(new { type = "Split", pattern = new { Regex = pattern }, behavior = "Isolated", invert = false });
        using JsonDocument document = JsonDocument.Parse(stage);
        PreTokenizer split = ComponentReader.ReadPreTokenizer(new JsonField(document.RootElement, "pre_tokenizer"), out _)!;
        List<Piece> parts = [];
        split.Split(new Piece(text, 0, text.Length, AtStart: true), parts);
        return string.Join('|', parts.Select(part => part.Span.ToString()));
    }
}
