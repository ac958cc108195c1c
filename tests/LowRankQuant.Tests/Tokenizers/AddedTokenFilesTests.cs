using System.Text.Json.Nodes;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Models.Tokenizers.HuggingFace;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>Tokens that files beside a vocabulary add: tokens in every text, with their flags, and in the GGUF vocabulary.</summary>
public sealed class AddedTokenFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AddedTokensJsonStandsBesideASentencePieceModel()
    {
        SentencePiece();
        Write("added_tokens.json", """{"<|im_start|>": 7, "<plain>": 8}""");
        Write("tokenizer_config.json", """{"add_bos_token": true, "bos_token": "<s>", "additional_special_tokens": ["<|im_start|>"]}""");
        ITokenizer tokenizer = Load();
        Assert.Equal(9, tokenizer.VocabularySize);
        // As in SentencePiece, every text between tokens gets its own space in front.
        Assert.Equal([1, 7, 3, 4, 8, 3, 5], tokenizer.Encode("<|im_start|>a<plain>b", addSpecialTokens: true));
        Assert.Equal([1, 3, 4, 7], tokenizer.Encode("a<|im_start|>", addSpecialTokens: true));
        Assert.True(tokenizer.IsSpecial(7));
        Assert.False(tokenizer.IsSpecial(8));
        Assert.Equal(("<|im_start|>", 8), (tokenizer.TokenText(7), tokenizer.TokenId("<plain>")));
        Assert.Equal("<|im_start|> a<plain>", tokenizer.Decode([7, 3, 4, 8], skipSpecialTokens: false));
        Assert.Equal("a<plain>", tokenizer.Decode([7, 3, 4, 8], skipSpecialTokens: true));
        // Text of unknown origin: special tokens are letters, the plain one stays a token.
        Assert.DoesNotContain(7, tokenizer.Encode("a<plain>a", false, parseSpecialTokens: false));
        Assert.Contains(8, tokenizer.Encode("a<plain>a", false, parseSpecialTokens: false));
        GgufVocabulary vocabulary = GgufVocabularyExport.FromTokenizer(tokenizer, 10);
        Assert.Equal(["<|im_start|>", "<plain>", "[PAD9]"], vocabulary.Tokens.Skip(7));
        Assert.Equal([3, 4, 5], vocabulary.TokenTypes!.Skip(7));
        Assert.All(vocabulary.Scores!.Skip(7), score => Assert.True(score < -1000));
        AssertSame(tokenizer, GgufTokenizer.Create(vocabulary), "<|im_start|>a<plain>b", "ab <plain> a", "<plain><|im_start|>", "a<s>b");
    }

    [Fact]
    public void TheDecoderOfTheConfigurationCountsBeforeOlderFilesAndItsFlagsDo()
    {
        SentencePiece();
        Write("added_tokens.json", """{"<old>": 7}""");
        Write("tokenizer_config.json", """
            {"bos_token": "<s>", "added_tokens_decoder": {
              "7": {"content": "<strip>", "special": true, "lstrip": true, "rstrip": true, "normalized": false},
              "8": {"content": "ab", "special": false, "single_word": true, "normalized": true}}}
            """);
        ITokenizer tokenizer = Load();
        Assert.Null(tokenizer.TokenId("<old>"));
        Assert.Equal([3, 4, 7, 3, 5], tokenizer.Encode("a  <strip>  b", false));
        Assert.Equal([8, 3, 3, 8], tokenizer.Encode("ab ab", false));
        Assert.DoesNotContain(8, tokenizer.Encode("aab", false));
        Assert.Equal(
            ["lstrip of \"<strip>\"", "rstrip of \"<strip>\"", "single_word of \"ab\""],
            GgufVocabularyExport.FindLosses(tokenizer).Select(loss => loss.Description.Split("no place for ")[1].Split(", which")[0]));
    }

    [Fact]
    public void LegacyFalsePutsTheSpaceInFrontOfTheWholeOnly()
    {
        SentencePiece();
        Write("added_tokens.json", """{"<x>": 7}""");
        Write("tokenizer_config.json", """{"legacy": false}""");
        ITokenizer tokenizer = Load();
        Assert.Equal([3, 4, 7, 5], tokenizer.Encode("a<x>b", false));
        Assert.Equal([7, 5], tokenizer.Encode("<x>b", false));
        Assert.Contains(GgufVocabularyExport.FindLosses(tokenizer), loss => loss.IsMinor && loss.Description.Contains("legacy false", StringComparison.Ordinal));
    }

    [Fact]
    public void AddedTokensStandBesideVocabAndMerges()
    {
        Write("vocab.json", """{"a": 0, "b": 1, "ab": 2, "<": 3, "x": 4, ">": 5}""");
        Write("merges.txt", "#version: 0.2\na b\n");
        Write("added_tokens.json", """{"<x>": 6}""");
        Write("special_tokens_map.json", """{"eos_token": {"content": "<x>", "lstrip": false, "rstrip": true, "normalized": false, "single_word": false}}""");
        ITokenizer tokenizer = Load();
        Assert.Equal([2, 6, 2], tokenizer.Encode("ab<x>ab", false));
        Assert.True(tokenizer.IsSpecial(6));
        Assert.Equal(6, tokenizer.EosId);
        Assert.Contains(GgufVocabularyExport.FindLosses(tokenizer), loss => !loss.IsMinor && loss.Description.Contains("rstrip of \"<x>\"", StringComparison.Ordinal));
    }

    [Fact]
    public void TheConfigurationAddsTokensToTokenizerJson()
    {
        TokenizerJsonFile();
        Write("tokenizer_config.json", """
            {"bos_token": "<s>", "pad_token": "<pad>", "added_tokens_decoder": {
              "3": {"content": "<s>", "special": true, "normalized": false}, "4": {"content": "<new>", "special": true, "normalized": false}}}
            """);
        ITokenizer tokenizer = TokenizerLoader.FromFolder(_folder.Path, rows: 6);
        Assert.Equal([3, 2, 4, 0], tokenizer.Encode("<s>ab<new>a", false));
        Assert.True(tokenizer.IsSpecial(4));
        // Named without an id, as transformers does: behind all others.
        Assert.Equal([0, 5], tokenizer.Encode("a<pad>", false));
        Assert.Equal(6, tokenizer.VocabularySize);
        Assert.Empty(tokenizer.Warnings);
        // No row is left: the model could not read it.
        ITokenizer small = TokenizerLoader.FromFolder(_folder.Path, rows: 5);
        Assert.Null(small.TokenId("<pad>"));
        Assert.Contains("\"<pad>\" has no id", Assert.Single(small.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void AHoleBeforeAnIdIsToldBecauseOthersCloseIt()
    {
        TokenizerJsonFile();
        Write("added_tokens.json", """{"<far>": 9}""");
        ITokenizer tokenizer = Load();
        Assert.Equal([9], tokenizer.Encode("<far>", false));
        string warning = Assert.Single(tokenizer.Warnings);
        Assert.Contains("\"<far>\" has the id 9", warning, StringComparison.Ordinal);
        Assert.Contains("give it the id 4", warning, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"<s>": 4}""", "<s>", "has the id 3")]
    [InlineData("""{"a": 4}""", "a", "has the id 0")]
    [InlineData("""{"<x>": 3}""", "<x>", "belongs to \"<s>\"")]
    [InlineData("""{"<x>": 1}""", "<x>", "belongs to \"b\"")]
    [InlineData("""{"<x>": 5, "<y>": 5}""", "<y>", "belongs to \"<x>\"")]
    [InlineData("""{"<x>": -1}""", "<x>", "0..")]
    [InlineData("""{"<x>": "4"}""", "<x>", "a number")]
    public void ContradictionsAreRefusedByName(string added, string token, string rule)
    {
        TokenizerJsonFile();
        Write("added_tokens.json", added);
        TokenizerException refused = Assert.Throws<TokenizerException>(Load);
        Assert.Contains("added_tokens.json", refused.Message, StringComparison.Ordinal);
        Assert.Contains(token, refused.Message, StringComparison.Ordinal);
        Assert.Contains(rule, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tokenizer.json", "{\"model\": ", "cut short")]
    [InlineData("tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer")]
    [InlineData("tokenizer_config.json", "{\"bos_token\": }", "line 1, column 15")]
    [InlineData("added_tokens.json", "<!DOCTYPE html><html></html>", "web page")]
    [InlineData("special_tokens_map.json", "[]", "must be an object, not a list")]
    public void UnsoundFilesAreNamedInPlainWords(string file, string text, string expected)
    {
        TokenizerJsonFile();
        Write(file, text);
        TokenizerException refused = Assert.Throws<TokenizerException>(Load);
        Assert.Contains(file, refused.Message, StringComparison.Ordinal);
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("BytePositionInLine", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tokenizer.json")]
    [InlineData("tokenizer.model")]
    public void AFolderInPlaceOfAFileIsNamed(string name)
    {
        Directory.CreateDirectory(_folder.File(name));
        Assert.Contains("is a folder", Assert.Throws<TokenizerException>(Load).Message, StringComparison.Ordinal);
    }

    private ITokenizer Load() => TokenizerLoader.FromFolder(_folder.Path);

    private void Write(string file, string text) => File.WriteAllText(_folder.File(file), text);

    private void SentencePiece() => File.WriteAllBytes(_folder.File("tokenizer.model"), new SentencePieceBuilder(modelType: 2)
        .Piece("<unk>", 0, 2).Piece("<s>", 0, 3).Piece("</s>", 0, 3).Piece("\u2581", -1).Piece("a", -2).Piece("b", -3).Piece("<", -4).Build());

    private void TokenizerJsonFile() => Write("tokenizer.json", new JsonObject
    {
        ["added_tokens"] = new JsonArray(new JsonObject { ["id"] = 3, ["content"] = "<s>", ["special"] = true, ["normalized"] = false }),
        ["model"] = new JsonObject
        {
            ["type"] = "BPE",
            ["vocab"] = new JsonObject { ["a"] = 0, ["b"] = 1, ["ab"] = 2 },
            ["merges"] = new JsonArray("a b"),
        },
    }.ToJsonString());

    private static void AssertSame(ITokenizer expected, ITokenizer actual, params string[] texts)
    {
        foreach (string text in texts) Assert.Equal(expected.Encode(text, true), actual.Encode(text, true));
    }
}
