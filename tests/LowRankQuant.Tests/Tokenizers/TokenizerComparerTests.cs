using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Models.Verification;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>The sample texts of verify on vocabularies of real models: no false alarm where ids are the same, an alarm where they are not.</summary>
public sealed class TokenizerComparerTests
{
    [Fact]
    public void TheSampleIsAFewHundredTextsOfEveryKind()
    {
        Assert.InRange(TokenizerProbe.Texts.Count, 300, 1000);
        Assert.Contains(TokenizerProbe.Texts, text => text.Contains('\u200D', StringComparison.Ordinal));
        Assert.Contains(TokenizerProbe.Texts, text => text.Contains("e\u0301", StringComparison.Ordinal));
        Assert.Contains(TokenizerProbe.Texts, text => text.Any(char.IsSurrogate) && text.Length == 1);
        Assert.Contains(TokenizerProbe.Texts, text => text.Length >= 600);
    }

    [Theory]
    [InlineData("smollm2")]
    [InlineData("mistral-v0.1")]
    [InlineData("gpt2")]
    public void AGgufVocabularyGivesTheSameIds(string name)
    {
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Path("tokenizers", name));
        var comparer = new TokenizerComparer(tokenizer, GgufTokenizer.Create(GgufVocabularyExport.FromTokenizer(tokenizer)));
        Assert.Empty(comparer.Compare());
        Assert.True(comparer.Texts > TokenizerProbe.Texts.Count);
        Assert.Empty(GgufVocabularyExport.FindLosses(tokenizer));
    }

    [Fact]
    public void ASentencePieceModelGivesTheSameIds()
    {
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Path("tokenizers", "llama2"));
        Assert.Empty(new TokenizerComparer(tokenizer, GgufTokenizer.Create(GgufVocabularyExport.FromTokenizer(tokenizer, 32016))).Compare());
    }

    [Theory]
    [InlineData("gpt-neox")]
    [InlineData("hf-qwen3")]
    public void ANormalizerThatIsLeftOutIsFound(string name)
    {
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Path("tokenizers", name));
        Assert.Contains(GgufVocabularyExport.FindLosses(tokenizer), loss => loss.Description.Contains("normalizer NFC", StringComparison.Ordinal));
        Difference[] differences = [.. new TokenizerComparer(tokenizer, GgufTokenizer.Create(GgufVocabularyExport.FromTokenizer(tokenizer))).Compare()];
        Assert.Contains(differences, difference => difference.Detail.StartsWith("text ", StringComparison.Ordinal));
    }
}
