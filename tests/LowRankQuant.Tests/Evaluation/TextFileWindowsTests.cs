using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Runs;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Tests.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>Windows of texts that are read as far as windows are asked for.</summary>
public sealed class TextFileWindowsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static DecoderConfig Config => CalibrationLoaderTests.Config() with { MaxPositions = 64, VocabularySize = 4096 };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(null, null, null, true)]
    [InlineData(10, 3, null, true)]
    [InlineData(10, 10, null, false)]
    [InlineData(64, 7, 100, true)]
    [InlineData(2, 1, 5000, false)]
    public void AFileGivesTheWindowsOfItsIds(int? context, int? stride, int? windows, bool keepPartial)
    {
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Demo);
        string text = string.Concat(Enumerable.Repeat(File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt")), 3));
        File.WriteAllText(_folder.File("a.txt"), text);
        var options = new TextWindowOptions { Context = context, Stride = stride, Windows = windows, KeepPartial = keepPartial };
        int[] ids = tokenizer.Encode(text, addSpecialTokens: false);
        var file = new TextFileWindows(_folder.File("a.txt"), tokenizer, Config, AddBos.No, options);
        IReadOnlyList<TextWindow> expected = TextWindows.Cut(ids, options, Config);
        // Twice: each enumeration reads the file again.
        for (int i = 0; i < 2; i++) Assert.Equal(expected.Select(Describe), file.Select(Describe));
        Assert.InRange(file.LongestPart, 60_000, TokenStream.UsualPart);
        int all = (ids.Length + (stride ?? context ?? 64) - 1) / (stride ?? context ?? 64);
        if (windows is not null) Assert.Equal(windows, file.Expected);
        else Assert.Equal(all, file.Expected);

        static string Describe(TextWindow window) => $"{window.FirstNew}: {string.Join(' ', window.Ids)}";
    }

    [Theory]
    [InlineData(PerplexityKind.Windows)]
    [InlineData(PerplexityKind.LlamaCpp)]
    public void OfALongTextNoMoreIsTokenizedThanTheWindowsNeed(PerplexityKind kind)
    {
        File.WriteAllText(_folder.File("a.txt"), new string('x', 10 * TokenStream.UsualPart));
        var tokenizer = new CharacterTokenizer();
        var file = new TextFileWindows(_folder.File("a.txt"), tokenizer, Config, AddBos.No, new TextWindowOptions { Windows = 16 }, kind);
        Assert.Equal(16, file.Count());
        Assert.Equal(TokenStream.UsualPart - 1, tokenizer.Encoded);
    }

    [Fact]
    public void WhatIsWrongIsNamedWhenItIsReached()
    {
        string path = _folder.File("a.txt");
        File.WriteAllText(path, new string('x', TokenStream.UsualPart) + "\u0500");
        DecoderConfig config = Config with { VocabularySize = 256 };
        var file = new TextFileWindows(path, new CharacterTokenizer(), config, AddBos.No, new TextWindowOptions());
        Assert.Equal(5, file.Take(5).Count());
        Assert.Contains("token id 1280 (number 65536)", Assert.Throws<EvaluationException>(() => file.Count()).Message, StringComparison.Ordinal);
        File.WriteAllBytes(path, [65, 0xFF, 65]);
        Assert.Contains("is not UTF-8", Assert.Throws<EvaluationException>(() => file.Count()).Message, StringComparison.Ordinal);
        File.Delete(path);
        Assert.Contains("is not a file", Assert.Throws<EvaluationException>(() => file.Count()).Message, StringComparison.Ordinal);
        Assert.Contains("--add-bos yes", Assert.Throws<EvaluationException>(() => new TextFileWindows(path, new CharacterTokenizer(), config, AddBos.Yes, new())).Message, StringComparison.Ordinal);
    }
}
