using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>Texts tokenized in parts have the ids of the whole.</summary>
public sealed class TokenStreamTests
{
    // What stages of tokenizers look at: words, contractions, numbers, line ends, spaces of several kinds, marks that combine, jamo, characters that
    // normalizers rewrite, half surrogate pairs, and what the tokenizer itself takes for more than text.
    private static readonly string[] Atoms =
    [
        "a", "b", "The", "s", "S", "1", "23", " ", " ", "  ", "\n", "\r\n", "\n\n", "\t", "'", "'s", "'LL", ".", "!?", "-", "_", "(", "<", "|", ">", "=", "\u2581",
        "e\u0301", "\u0301", "\u00E9", "\u0130", "\uFB01", "\u00BD", "\u00A0", "\u3000", "\u4E2D", "\u6587\u3002", "\u304B", "\u3099", "\uAC00", "\u11A8", "\u1100",
        "\u0663", "\U0001D400", "\U0001D7CE", "\uD800", "\uDC00",
    ];

    public static TheoryData<string> Real { get; } =
    [
        "tokenizers/gpt2", "tokenizers/gpt-neox", "tokenizers/hf-qwen3", "tokenizers/mistral-v0.1", "tokenizers/smollm2", "tokenizers/llama2",
        "models/smollm2-135m", "models/tinystories-656k", "models/demo", "models/stories260K/tok512.model", "models/babyllama-tok105/tok105.model",
        "tokenizers/llamacpp/ggml-vocab-llama-spm.gguf", "tokenizers/llamacpp/ggml-vocab-phi-3.gguf", "tokenizers/llamacpp/ggml-vocab-gpt-2.gguf",
        "tokenizers/llamacpp/ggml-vocab-gpt-neox.gguf", "tokenizers/llamacpp/ggml-vocab-starcoder.gguf", "golden/gguf/tinystories-656k/model-q4_0.gguf",
    ];

    /// <summary>tokenizer.json parts, and whether any text may be cut with them.</summary>
    public static TheoryData<string, string, bool> Components { get; } = new()
    {
        { "null", """{"type": "ByteLevel", "add_prefix_space": true}""", true },
        { "null", """{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}""", false },
        { "null", """{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": true}]}""", true },
        { "null", """{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}"}, "behavior": "Isolated"}, {"type": "ByteLevel", "add_prefix_space": false}]}""", true },
        { "null", """{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\s?\\p{L}+"}, "behavior": "Isolated"}, {"type": "Punctuation"}]}""", true },
        { "null", """{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated"}, {"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Isolated"}]}""", true },
        { "null", """{"type": "Whitespace"}""", true },
        { "null", """{"type": "WhitespaceSplit"}""", true },
        { "null", """{"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}""", true },
        { "null", """{"type": "Split", "pattern": {"String": " "}, "behavior": "Removed"}""", true },
        { "null", """{"type": "Split", "pattern": {"String": ". "}, "behavior": "Isolated"}""", true },
        { "null", """{"type": "Split", "pattern": {"Regex": "\\p{N}+"}, "behavior": "Removed", "invert": true}""", true },
        { "null", """{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}""", true },
        { "null", """{"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}""", true },
        { "null", """{"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": false}""", true },
        { """{"type": "NFC"}""", """{"type": "ByteLevel", "add_prefix_space": false}""", true },
        { """{"type": "NFD"}""", """{"type": "ByteLevel", "add_prefix_space": false}""", true },
        { """{"type": "NFKC"}""", """{"type": "ByteLevel", "add_prefix_space": false}""", true },
        { """{"type": "NFKD"}""", """{"type": "ByteLevel", "add_prefix_space": true}""", true },
        { """{"type": "Lowercase"}""", """{"type": "WhitespaceSplit"}""", true },
        { """{"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}""", """{"type": "Whitespace"}""", true },
        { """{"type": "Strip"}""", """{"type": "WhitespaceSplit"}""", true },
        { """{"type": "Sequence", "normalizers": [{"type": "Strip", "strip_right": false}, {"type": "Prepend", "prepend": "_"}]}""", """{"type": "Whitespace"}""", true },
        { """{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]}""", """{"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"}""", true },
        { """{"type": "Replace", "pattern": {"String": "\n\n"}, "content": " "}""", """{"type": "WhitespaceSplit"}""", true },
        { """{"type": "Replace", "pattern": {"String": " "}, "content": ""}""", """{"type": "WhitespaceSplit"}""", true },
        { """{"type": "ByteLevel"}""", """{"type": "WhitespaceSplit"}""", true },
    };

    [Theory]
    [MemberData(nameof(Real))]
    public void EveryPlaceThatMayBeCutGivesTheIdsOfTheWhole(string source) => Assert.True(CheckCuts(Load(source), strings: 400) > 200, "too few places");

    [Theory]
    [MemberData(nameof(Components))]
    public void EveryPlaceThatStagesAllowGivesTheIdsOfTheWhole(string normalizer, string preTokenizer, bool cuts) =>
        Assert.Equal(cuts, CheckCuts(Build(normalizer, preTokenizer), strings: 1500) > 0);

    [Theory]
    [MemberData(nameof(Real))]
    public void PartsOfAnyLengthGiveTheIdsOfTheWhole(string source)
    {
        ITokenizer tokenizer = Load(source);
        using GoldenTokens golden = GoldenTokens.HuggingFace("gpt2");
        var random = new Random(7);
        string wiki = File.ReadAllText(TestData.Path("data", "wikitext-2", "wiki.test.raw"))[..30000];
        string[] strings = [.. golden.Strings.Values.Where(sample => TryEncode(() => tokenizer.Encode(sample, false)) is not null)];
        random.Shuffle(strings);
        string text = wiki[..10000] + string.Join(' ', strings) + wiki[10000..] + string.Concat(strings);
        int[] expected = tokenizer.Encode(text, addSpecialTokens: false);
        foreach (int length in (int[])[1, 13, 200, 4096, text.Length, text.Length + 1])
            Assert.Equal(expected, new TokenStream(tokenizer, new StringReader(text), length).Parts().SelectMany(part => part));
    }

    [Theory]
    [MemberData(nameof(Real))]
    public void OrdinaryTextHasPlacesEnough(string source)
    {
        var stream = new TokenStream(Load(source), new StringReader(File.ReadAllText(TestData.Path("data", "wikitext-2", "wiki.test.raw"))[..200000]), 2048);
        Assert.InRange(stream.Parts().Count(), 98, 110);
        Assert.InRange(stream.LongestSoFar, 1, 2048);
    }

    [Fact]
    public void ATextWithoutPlacesIsTakenWhole()
    {
        ITokenizer tokenizer = Load("models/demo");
        string text = new string('a', 5000) + string.Concat(Enumerable.Repeat(" b", 2000));
        var stream = new TokenStream(tokenizer, new StringReader(text), 100);
        Assert.Equal(tokenizer.Encode(text, false), stream.Parts().SelectMany(part => part));
        Assert.InRange(stream.LongestSoFar, 5001, 6400);
        Assert.Empty(new TokenStream(tokenizer, new StringReader("")).Parts());
    }

    [Fact]
    public void NoMoreIsReadThanAskedFor()
    {
        var text = new StringReader(string.Concat(Enumerable.Repeat("one two three ", 1000)));
        using IEnumerator<int[]> parts = new TokenStream(Load("models/demo"), text, 100).Parts().GetEnumerator();
        Assert.True(parts.MoveNext());
        Assert.Equal(14000 - 100, text.ReadToEnd().Length);
    }

    /// <summary>Cuts random strings wherever the tokenizer allows it; returns at how many places.</summary>
    private static int CheckCuts(ITokenizer tokenizer, int strings)
    {
        IPartTokenizer cutter = Assert.IsType<IPartTokenizer>(tokenizer, exactMatch: false);
        string[] special = [.. Enumerable.Range(0, tokenizer.VocabularySize).Where(tokenizer.IsSpecial).Take(12).Select(id => tokenizer.TokenText(id)!)];
        string[] atoms = [.. Atoms, .. special];
        var random = new Random(3);
        int places = 0;
        for (int i = 0; i < strings; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(2, 16)).Select(_ => atoms[random.Next(atoms.Length)]));
            int[]? whole = TryEncode(() => tokenizer.Encode(text, addSpecialTokens: false));
            for (int at = 1; whole is not null && at < text.Length; at++)
            {
                if (!cutter.MayCut(text[at - 1], text[at])) continue;
                places++;
                int[] parts = [.. tokenizer.Encode(text[..at], addSpecialTokens: false), .. cutter.EncodeRest(text[at..])];
                Assert.True(whole.AsSpan().SequenceEqual(parts), $"{TokenizerException.Quote(text)} at {at}: [{string.Join(' ', whole)}] and [{string.Join(' ', parts)}]");
            }
        }
        return places;
    }

    private static int[]? TryEncode(Func<int[]> encode)
    {
        try
        {
            return encode();
        }
        catch (TokenizerException)
        {
            // A character that the vocabulary cannot spell.
            return null;
        }
    }

    private static ITokenizer Load(string source)
    {
        if (source == "models/demo") return TokenizerLoader.FromFolder(TestData.Demo);
        string path = TestData.Path(source.Split('/'));
        return source.EndsWith(".gguf", StringComparison.Ordinal) ? GgufTokenizer.Create(TestGgufMetadata.ReadVocabulary(path))
            : source.EndsWith(".model", StringComparison.Ordinal) ? SentencePieceModel.Load(path) : TokenizerLoader.FromFolder(path);
    }

    /// <summary>Byte-level letters and every character of the atoms as tokens, some merges across all kinds, and added tokens of every sort.</summary>
    private static ITokenizer Build(string normalizer, string preTokenizer)
    {
        var letters = new SortedSet<string>(StringComparer.Ordinal);
        for (int b = 0; b < 256; b++) letters.Add(ByteAlphabet.Letter((byte)b).ToString());
        foreach (Rune rune in string.Concat(Atoms).EnumerateRunes()) letters.Add(rune.ToString());
        (string Left, string Right)[] merges =
        [
            ("a", "b"), ("b", "a"), ("ab", "\u0120"), ("\u0120", "a"), ("s", "\u0120"), ("1", "2"), ("12", "3"), ("_", "a"), ("a", "_"), ("_", "_"),
            (".", "\u0120"), ("e", "\u00CC"), ("\u010A", "\u010A"), ("a", " "), (" ", "a"), ("\u0120", "\u0120"),
        ];
        var vocabulary = new JsonObject();
        foreach (string token in letters.Concat(merges.Select(merge => merge.Left + merge.Right)).Append("<unk>")) vocabulary.TryAdd(token, vocabulary.Count);
        var added = new JsonArray();
        foreach ((string text, bool word, bool left, bool right, bool normalized) in new[]
        {
            ("<l>", false, true, false, false), ("<r>", false, false, true, false), ("<w>", true, false, false, false), ("The", true, false, false, true),
            ("a<n>", false, true, true, true),
        })
        {
            added.Add(new JsonObject
            {
                ["id"] = vocabulary.Count + added.Count,
                ["content"] = text,
                ["single_word"] = word,
                ["lstrip"] = left,
                ["rstrip"] = right,
                ["normalized"] = normalized,
                ["special"] = true,
            });
        }
        var root = new JsonObject
        {
            ["added_tokens"] = added,
            ["normalizer"] = JsonNode.Parse(normalizer),
            ["pre_tokenizer"] = JsonNode.Parse(preTokenizer),
            ["model"] = new JsonObject { ["type"] = "BPE", ["unk_token"] = "<unk>", ["fuse_unk"] = true, ["vocab"] = vocabulary, ["merges"] = new JsonArray([.. merges.Select(merge => new JsonArray(merge.Left, merge.Right))]) },
        };
        using var stream = new MemoryStream(Encoding.UTF8.GetBytes(root.ToJsonString()));
        return TokenizerJson.Load(stream);
    }
}
