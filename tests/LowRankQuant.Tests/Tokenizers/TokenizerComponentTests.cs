using System.Text;
using System.Text.Json;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Bpe;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Models.Tokenizers.Patterns;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Tests.Tokenizers;

public sealed class TokenizerComponentTests
{
    [Theory]
    [InlineData("NFC", "e\u0301 \u212B \u1100\u1161\u11A8 \u0958 a\u0315\u0300", "\u00E9 \u00C5 \uAC01 \u0915\u093C \u00E0\u0315")]
    [InlineData("NFD", "\u00E9 \u212B \uAC01 \u1E69 \uD834\uDD5F", "e\u0301 A\u030A \u1100\u1161\u11A8 s\u0323\u0307 \uD834\uDD58\uD834\uDD65")]
    [InlineData("NFKC", "\uFB01 \u2460 \u00BD \uFF21 \u1E9B\u0323", "fi 1 1\u20442 A \u1E69")]
    [InlineData("NFKD", "\uFB03 \u1E9B\u0323 \u3300", "ffi s\u0323\u0307 \u30A2\u30CF\u309A\u30FC\u30C8")]
    [InlineData("Lowercase", "\u0130STANBUL \u03A3\u03A3 \uD801\uDC00", "i\u0307stanbul \u03C3\u03C3 \uD801\uDC28")]
    [InlineData("StripAccents", "e\u0301a\u0300x", "eax")]
    [InlineData("Strip", " \t a b\u3000\n", "a b")]
    public void NormalizersRewriteTheText(string type, string text, string expected)
    {
        // Byte-level letters without merges: what comes back is the normalized text.
        ITokenizer tokenizer = ByteLevel($$"""{"type": "{{type}}"}""", "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}");
        Assert.Equal(expected, tokenizer.Decode(tokenizer.Encode(text, false), false));
    }

    [Theory]
    [InlineData("""{"type": "Split", "pattern": {"String": "-"}, "behavior": "Removed"}""", "--a-b-", "a|b")]
    [InlineData("""{"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated"}""", "a--b-", "a|-|-|b|-")]
    [InlineData("""{"type": "Split", "pattern": {"String": "-"}, "behavior": "Contiguous"}""", "a--b-", "a|--|b|-")]
    [InlineData("""{"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithPrevious"}""", "-a--b-", "-|a-|-|b-")]
    [InlineData("""{"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithNext"}""", "-a--b-", "-a|-|-b|-")]
    [InlineData("""{"type": "Split", "pattern": {"Regex": "\\p{N}+"}, "behavior": "Removed", "invert": true}""", "a12b3", "12|3")]
    [InlineData("""{"type": "Digits", "individual_digits": false}""", "a12\u00BDb3", "a|12\u00BD|b|3")]
    [InlineData("""{"type": "Digits", "individual_digits": true}""", "a12\uD835\uDFCE", "a|1|2|\uD835\uDFCE")]
    [InlineData("""{"type": "Punctuation"}""", "a,b+\u00BF", "a|,|b|+|\u00BF")]
    [InlineData("""{"type": "Whitespace"}""", " don't stop_now!! ", "don|'|t|stop_now|!!")]
    [InlineData("""{"type": "WhitespaceSplit"}""", " a  b\u00A0c ", "a|b|c")]
    [InlineData("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}""", "a b  c", "_a|_b|_|_c")]
    [InlineData("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "never", "split": false}""", "a b", "a_b")]
    [InlineData("""{"type": "ByteLevel", "add_prefix_space": true}""", "a b", "\u0120a|\u0120b")]
    [InlineData("""{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}""", "a b", "a\u0120b")]
    [InlineData("""{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Digits"}]}""", "a1 2", "a|1|2")]
    [InlineData("""{"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated"}""", "1234567", "123|456|7")]
    [InlineData("""{"type": "Split", "pattern": {"Regex": "\\s?\\p{L}+"}, "behavior": "Isolated"}""", "ab  cd1", "ab| | cd|1")]
    public void PreTokenizersCutTheText(string preTokenizer, string text, string expected)
    {
        using JsonDocument document = JsonDocument.Parse(preTokenizer);
        PreTokenizer stage = ComponentReader.ReadPreTokenizer(new JsonField(document.RootElement, "pre_tokenizer"), out bool modelMapsBytes)!;
        List<Piece> parts = [];
        stage.Split(new Piece("x" + text + "y", 1, text.Length, AtStart: true), parts);
        string[] pieces = [.. parts.Select(part => part.Span.ToString())];
        if (modelMapsBytes) pieces = [.. pieces.Select(piece => new ByteLevelNormalizer().Apply(piece))];
        Assert.Equal(expected, string.Join('|', pieces));
    }

    [Theory]
    [InlineData(3, "It'S 1234 \u0660\u0661  x\n\n  y!!\r\nz \t", "It|'S| |123|4| |\u0660\u0661| | x|\n\n| | y|!!\r\n|z| \t")]
    [InlineData(1, "a12'\u017Fb \uD835\uDC00\uD835\uDFCE", "a|1|2|'\u017F|b| \uD835\uDC00|\uD835\uDFCE")]
    public void Llama3PatternCutsTheText(int digits, string text, string expected)
    {
        string number = digits == 3 ? @"\p{N}{1,3}" : @"\p{N}";
        PatternMatcher matcher = KnownPatterns.Find(
            @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + number + @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")!;
        List<Piece> parts = [];
        new SplitPreTokenizer(matcher, SplitBehavior.Isolated, invert: false).Split(new Piece(text, 0, text.Length, true), parts);
        Assert.Equal(expected, string.Join('|', parts.Select(part => part.Span.ToString())));
    }

    [Fact]
    public void AddedTokensTakeSpacesAndRespectWords()
    {
        AddedTokens added = new(
        [
            new AddedToken(0, "<l>") { StripLeft = true },
            new AddedToken(1, "<r>") { StripRight = true },
            new AddedToken(2, "cat") { SingleWord = true },
            new AddedToken(3, "cats") { Special = true },
        ], normalizer: null);
        Assert.Equal("[a][  <l>=0][ b]", Cut("a  <l> b"));
        Assert.Equal("[a ][<r> \n=1][b]", Cut("a <r> \nb"));
        // The space between the two goes to the first that asks for it.
        Assert.Equal("[<r> =1][<l>=0]", Cut("<r> <l>"));
        Assert.Equal("[the ][cat=2][ concat cat_ ][cat=2][.]", Cut("the cat concat cat_ cat."));
        // The longest wins; taken as characters it is text, and the shorter one inside it is not looked at.
        Assert.Equal("[cats=3]", Cut("cats"));
        Assert.Equal("[cats]", Cut("cats", parsesSpecial: false));
        Assert.Equal("", Cut(""));

        string Cut(string text, bool parsesSpecial = true)
        {
            List<Segment> segments = [];
            added.Split(text, normalized: false, parsesSpecial, segments);
            Assert.Equal(text.Length, segments.Sum(segment => segment.Length));
            return string.Concat(segments.Select(s => $"[{text.AsSpan(s.Start, s.Length)}{(s.Id < 0 ? "" : "=" + s.Id)}]"));
        }
    }

    [Fact]
    public void LongTextsMergeAsShortOnesDo()
    {
        // Random merges over a small alphabet, against the definition: the lowest rank first, the leftmost of equal ranks.
        Random random = new(7);
        for (int trial = 0; trial < 40; trial++)
        {
            MergeTable table = new(40);
            int next = 4;
            HashSet<(int, int)> used = [];
            for (int rank = 0; rank < 40; rank++)
            {
                (int, int) pair = (random.Next(next), random.Next(next));
                if (used.Add(pair)) table.Add(pair.Item1, pair.Item2, rank, next++, replace: true);
            }
            int[] ids = [.. Enumerable.Range(0, random.Next(1, 400)).Select(_ => random.Next(4))];
            List<int> expected = [.. ids];
            while (true)
            {
                int best = -1, bestRank = int.MaxValue, made = 0;
                for (int i = 0; i + 1 < expected.Count; i++)
                {
                    if (table.TryGet(expected[i], expected[i + 1], out int rank, out int id) && rank < bestRank)
                        (best, bestRank, made) = (i, rank, id);
                }
                if (best < 0) break;
                expected[best] = made;
                expected.RemoveAt(best + 1);
            }
            int count = BpeMerger.Merge(ids, table);
            Assert.Equal(expected, ids[..count]);
        }
    }

    [Fact]
    public void TextsWithoutPreTokenizerGiveTheSameIdsWhole()
    {
        string text = File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt")).Replace("<|endoftext|>", "\u2603\uD83D\uDE00")[..20000];
        PipelineTokenizer tokenizer = (PipelineTokenizer)TokenizerLoader.FromFolder(TestData.Path("models", "tinystories-656k"));
        BpeModel model = (BpeModel)tokenizer.Parts.Model;
        // Without cuts: symbols one by one, unknown characters in a row fused, then one merge over everything.
        List<int> symbols = [];
        int unknown = model.Vocabulary.Find("<unk>")!.Value;
        foreach (Rune rune in ("\u2581" + text.Replace(' ', '\u2581')).EnumerateRunes())
        {
            int id = model.Vocabulary.Find(rune.ToString()) ?? unknown;
            if (id != unknown || symbols[^1] != unknown) symbols.Add(id);
        }
        int[] whole = [.. symbols];
        int count = BpeMerger.Merge(whole, model.Merges);
        Assert.Equal(whole[..count], tokenizer.Encode(text, addSpecialTokens: false));
    }

    [Fact]
    public void AMegabyteWithoutAnyCutIsNotQuadratic()
    {
        const string File = """
            {"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaaa": 2}, "merges": [["a", "a"], ["aa", "aa"]]}}
            """;
        ITokenizer tokenizer = Load(File);
        int[] ids = tokenizer.Encode(new string('a', 1_000_003), addSpecialTokens: false);
        Assert.Equal(250_002, ids.Length);
        Assert.Equal([2, 1, 0], ids[^3..]);
        GgufVocabulary spm = new() { Model = "llama", Tokens = ["<unk>", "a", "aa", "aaaa"], Scores = [0, 0, -1, -2], AddSpacePrefix = false };
        Assert.Equal(250_002, GgufTokenizer.Create(spm).Encode(new string('a', 1_000_003), false).Length);
    }

    [Fact]
    public void SeveralThreadsMayUseOneTokenizer()
    {
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Demo);
        string text = File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"));
        int[] expected = TokenizerLoader.FromFolder(TestData.Demo).Encode(text, true);
        Parallel.For(0, 4, _ => Assert.Equal(expected, tokenizer.Encode(text, true)));
    }

    [Fact]
    public void UnigramInTokenizerJsonFindsTheBestPath()
    {
        ITokenizer tokenizer = Load("""
            {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": true},
             "decoder": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": true},
             "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["\u2581", -2], ["a", -3], ["b", -3], ["\u2581ab", -6.5]]}}
            """);
        Assert.Equal([4, 4, 2, 0], tokenizer.Encode("ab aba??", false));
        Assert.Equal("ab ab", tokenizer.Decode([4, 4], false));
    }

    private static ITokenizer ByteLevel(string normalizer, string preTokenizer)
    {
        IEnumerable<string> letters = Enumerable.Range(0, 256).Select(b => JsonSerializer.Serialize(ByteAlphabet.Letter((byte)b).ToString()));
        string vocab = string.Join(", ", letters.Select((letter, b) => $"{letter}: {b}"));
        return Load($$"""
            {"normalizer": {{normalizer}}, "pre_tokenizer": {{preTokenizer}}, "decoder": {"type": "ByteLevel"},
             "model": {"type": "BPE", "vocab": { {{vocab}} }, "merges": [] } }
            """);
    }

    private static ITokenizer Load(string json)
    {
        using MemoryStream stream = new(Encoding.UTF8.GetBytes(json));
        return TokenizerJson.Load(stream);
    }
}
