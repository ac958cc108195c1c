using System.Text;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;

namespace LowRankQuant.Tests.Tokenizers;

public sealed class TokenizerJsonHostileTests
{
    private const string Good = """
        {"added_tokens": [{"id": 3, "content": "<s>", "special": true, "normalized": false}],
         "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"},
         "post_processor": {"type": "TemplateProcessing",
           "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
           "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
         "model": {"type": "BPE", "unk_token": null, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
        """;

    [Fact]
    public void AModelWithNeitherTypeNorMergesIsRefusedByName()
    {
        string message = Assert.Throws<TokenizerException>(() => Load("""{"model": {"vocab": {"a": 0}}}""")).Message;
        Assert.Contains("model.type: missing or null, and so not known; it knows BPE and Unigram", message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheFileThatTheOtherTestsDamageIsGood()
    {
        ITokenizer tokenizer = Load(Good);
        Assert.Equal([3, 2, 3, 0], tokenizer.Encode("ab<s>a", addSpecialTokens: true));
        Assert.Equal(4, tokenizer.VocabularySize);
        Assert.Equal(3, tokenizer.BosId);
        Assert.True(tokenizer.AddsBos);
        // No unknown token: a character outside the vocabulary gives nothing, and its neighbours meet, as in the reference.
        Assert.Equal([2], tokenizer.Encode("axb", addSpecialTokens: false));
    }

    [Theory]
    [InlineData("\"a b\"", "\"a c\"", "\"c\"")]
    [InlineData("\"a b\"", "\"b a\"", "\"ba\"")]
    [InlineData("\"a b\"", "\"ab\"", "merges[0]")]
    [InlineData("\"a b\"", "[\"a\"]", "two sides")]
    [InlineData("\"a b\"", "5", "merges[0]")]
    [InlineData("\"ab\": 2", "\"ab\": 1", "already belongs to the token \"b\"")]
    [InlineData("\"ab\": 2", "\"ab\": -1", "0..")]
    [InlineData("\"ab\": 2", "\"ab\": 2147483647", "0..")]
    [InlineData("\"ab\": 2", "\"ab\": 1e300", "whole number")]
    [InlineData("\"ab\": 2", "\"ab\": \"2\"", "whole number")]
    [InlineData("\"ab\": 2", "\"a\": 2, \"ab\": 3", "JSON")]
    [InlineData("\"ab\": 2", "\"\\ud800\": 2", "Unicode")]
    [InlineData("\"id\": 3", "\"id\": 0", "belongs to \"a\"")]
    [InlineData("\"id\": 3", "\"id\": 3000000000", "32 bits")]
    [InlineData("\"content\": \"<s>\"", "\"content\": \"ab\"", "has the id 2")]
    [InlineData("\"normalized\": false}", "\"normalized\": 1}", "true or false")]
    [InlineData("[3]", "[7]", "no token")]
    [InlineData("{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}", "{\"SpecialToken\": {\"id\": \"<s>\"}}", "must name the text")]
    [InlineData("\"normalizer\": null", "\"normalizer\": {\"type\": \"Nmt\"}", "Nmt")]
    [InlineData("\"normalizer\": null", "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \"\"}", " {2,}")]
    [InlineData("\"normalizer\": null", "\"normalizer\": 7", "normalizer")]
    [InlineData("\"pre_tokenizer\": null", "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}", "BertPreTokenizer")]
    [InlineData("\"pre_tokenizer\": null",
        "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\p{Han}\"}, \"behavior\": \"Isolated\"}", "\\p{Han}")]
    [InlineData("\"pre_tokenizer\": null",
        "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, \"behavior\": \"Sideways\"}", "Sideways")]
    [InlineData("{\"type\": \"Fuse\"}", "{\"type\": \"CTC\"}", "CTC")]
    [InlineData("{\"type\": \"Fuse\"}", "{\"type\": \"Strip\", \"content\": \"ab\"}", "one character")]
    [InlineData("\"unk_token\": null", "\"unk_token\": \"<unk>\"", "unk_token")]
    [InlineData("\"unk_token\": null", "\"dropout\": 0.1", "dropout")]
    [InlineData("\"type\": \"BPE\"", "\"type\": \"WordPiece\"", "WordPiece")]
    [InlineData("\"model\"", "\"modell\"", "model")]
    public void RefusesAndNamesTheCause(string from, string to, string named)
    {
        Assert.Contains(from, Good);
        TokenizerException error = Assert.Throws<TokenizerException>(() => Load(Good.Replace(from, to)));
        Assert.Contains(named, error.Message);
    }

    [Fact]
    public void RefusesEveryTruncation()
    {
        for (int length = 0; length < Good.TrimEnd().Length; length++)
            Assert.Throws<TokenizerException>(() => Load(Good[..length]));
        Assert.Throws<TokenizerException>(() => Load("[]"));
        Assert.Throws<TokenizerException>(() => Load(new string('[', 100_000)));
    }

    [Fact]
    public void RefusesAConfigurationThatAddsATokenNobodyKnows()
    {
        string file = Good.Replace("\"post_processor\": {", "\"post_processor\": null, \"unused\": {");
        Assert.Equal([3, 0], Load(file, """{"bos_token": {"content": "<s>"}, "add_bos_token": true}""").Encode("a", true));
        Assert.Equal([0], Load(file, """{"bos_token": "<s>"}""").Encode("a", true));
        Assert.Equal([0, 2], Load(file, """{"eos_token": "ab", "add_eos_token": true}""").Encode("a", true));
        // A file with a post-processor has the last word.
        Assert.Equal([3, 0], Load(Good, """{"bos_token": "a", "add_bos_token": false}""").Encode("a", true));
        TokenizerException error = Assert.Throws<TokenizerException>(() => Load(file, """{"bos_token": "<x>", "add_bos_token": true}"""));
        Assert.Contains("<x>", error.Message);
        Assert.Throws<TokenizerException>(() => Load(file, "{"));
    }

    [Fact]
    public void FolderWithoutTokenizerIsAnError()
    {
        string folder = Path.Combine(Path.GetTempPath(), "lrq-tokenizer-" + Guid.NewGuid().ToString("N"));
        Assert.Contains("no such folder", Assert.Throws<TokenizerException>(() => TokenizerLoader.FromFolder(folder)).Message);
        Directory.CreateDirectory(folder);
        try
        {
            File.WriteAllText(Path.Combine(folder, "vocab.json"), "{}");
            Assert.Contains("merges.txt", Assert.Throws<TokenizerException>(() => TokenizerLoader.FromFolder(folder)).Message);
            File.WriteAllText(Path.Combine(folder, "merges.txt"), "#version: 0.2\n# #\n");
            Assert.Contains("merges[0]", Assert.Throws<TokenizerException>(() => TokenizerLoader.FromFolder(folder)).Message);
            File.WriteAllText(Path.Combine(folder, "vocab.json"), """{"#": 0, "##": 1}""");
            Assert.Equal([1, 0], TokenizerLoader.FromFolder(folder).Encode("###", true));
            File.WriteAllBytes(Path.Combine(folder, "tokenizer.model"), [1, 2, 3]);
            Assert.Throws<TokenizerException>(() => TokenizerLoader.FromFolder(folder));
            File.WriteAllText(Path.Combine(folder, "tokenizer.json"), Good);
            Assert.Equal([3, 2], TokenizerLoader.FromFolder(folder).Encode("ab", true));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static ITokenizer Load(string json, string? config = null)
    {
        using MemoryStream stream = new(Encoding.UTF8.GetBytes(json));
        using MemoryStream? configStream = config is null ? null : new MemoryStream(Encoding.UTF8.GetBytes(config));
        return TokenizerJson.Load(stream, configStream);
    }
}
