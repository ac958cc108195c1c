using LowRankQuant.Evaluation;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs;
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
        var file = new TextFileWindows(Source("a.txt"), tokenizer, Config, AddBos.No, options);
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
        var file = new TextFileWindows(Source("a.txt"), tokenizer, Config, AddBos.No, new TextWindowOptions { Windows = 16 }, kind);
        Assert.Equal(16, file.Count());
        Assert.Equal(TokenStream.UsualPart - 1, tokenizer.Encoded);
    }

    [Fact]
    public void WhatIsWrongIsNamedWhenItIsReached()
    {
        string path = _folder.File("a.txt");
        File.WriteAllText(path, new string('x', TokenStream.UsualPart) + "\u0500");
        DecoderConfig config = Config with { VocabularySize = 256 };
        var file = new TextFileWindows(Source("a.txt"), new CharacterTokenizer(), config, AddBos.No, new TextWindowOptions());
        Assert.Equal(5, file.Take(5).Count());
        Assert.Contains("token id 1280 (number 65536)", Assert.Throws<EvaluationException>(() => file.Count()).Message, StringComparison.Ordinal);
        File.WriteAllBytes(path, [65, 0xFF, 65]);
        Assert.Contains("is not UTF-8", Assert.Throws<TextSourceException>(() => file.Count()).Message, StringComparison.Ordinal);
        File.WriteAllText(path, "text");
        Assert.Contains("`add_bos` yes", Assert.Throws<EvaluationException>(() => new TextFileWindows(Source("a.txt"), new CharacterTokenizer(), config, AddBos.Yes, new())).Message, StringComparison.Ordinal);
        File.Delete(path);
        Assert.Contains("is not a file", Assert.Throws<TextSourceException>(() => file.Count()).Message, StringComparison.Ordinal);
    }

    // Documents as in calibration: the end token between them, the begin token in front of each.
    [Theory]
    [InlineData("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": null}\n{\"text\": \"cd\"}\n")]
    [InlineData("a.json", "[\"ab\", {\"text\": \"cd\"}]")]
    [InlineData("no-ending", "{\"text\": \"ab\"}\n{\"text\": \"cd\"}")]
    public void DocumentsFollowEachOtherAsInCalibration(string name, string content)
    {
        File.WriteAllText(_folder.File(name), content);
        var tokenizer = new CharacterTokenizer(bos: 2, eos: 1, addsBos: true);
        var file = new TextFileWindows(Source(name), tokenizer, Config, AddBos.Auto, new TextWindowOptions());
        Assert.Equal("\u0002ab\u0001\u0002cd", Text(Assert.Single(file)));
        var calibration = new CalibrationOptions { Sources = [_folder.File(name)], Samples = 1, SequenceLength = 7 };
        Assert.Equal(Assert.Single(CalibrationLoader.Load(calibration, tokenizer, Config, cancellation: TestContext.Current.CancellationToken).Windows), file.Single().Ids);
    }

    [Fact]
    public void PlainTextIsOneTextWithOneBeginToken()
    {
        File.WriteAllText(_folder.File("a.txt"), "ab\n</s>\ncd");
        var file = new TextFileWindows(Source("a.txt"), new CharacterTokenizer(bos: 2, eos: 1, addsBos: true), Config, AddBos.Auto, new TextWindowOptions());
        Assert.Equal("\u0002ab\n</s>\ncd", Text(Assert.Single(file)));
    }

    [Theory]
    [InlineData("a.txt", "ab\n\n cd \n", "ab\n\n\n\n\n cd \n")]
    [InlineData("a.jsonl", "{\"text\": \"ab\\n\"}\n{\"text\": \"\"}\n{\"text\": \" cd \\n\"}\n", "ab\n\n\n\n\n cd \n")]
    public void JoinedRowsAreTheTextOfThePapers(string name, string content, string expected)
    {
        File.WriteAllText(_folder.File(name), content);
        var source = new TextSource(_folder.File(name), new TextSourceOptions { KeepEmptyRows = true });
        var file = new TextFileWindows(source, new CharacterTokenizer(bos: 2, eos: 1, addsBos: true), Config, AddBos.Auto, new TextWindowOptions(), joinRows: true);
        Assert.Equal("\u0002" + expected, Text(Assert.Single(file)));
        Assert.Empty(source.Warnings);
    }

    [Fact]
    public void TokenIdsFollowEachOther()
    {
        File.WriteAllText(_folder.File("a.ids.jsonl"), "[97, 98]\n{\"input_ids\": [99], \"attention_mask\": [1]}\n");
        var file = new TextFileWindows(Source("a.ids.jsonl"), new CharacterTokenizer(bos: 2, eos: 1, addsBos: true), Config, AddBos.Auto, new TextWindowOptions());
        Assert.Equal("abc", Text(Assert.Single(file)));
        Assert.Contains("`join_rows`", Assert.Throws<EvaluationException>(() => new TextFileWindows(Source("a.ids.jsonl"), new CharacterTokenizer(), Config, AddBos.No, new(), joinRows: true)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(10, null, "has 10 tokens: it is measured as one window of 10 instead of 64")]
    [InlineData(130, 16, "has 130 tokens, which make 3 windows of 64 tokens, the last perhaps shorter; `windows` asks for 16")]
    [InlineData(130, 2, null)]
    [InlineData(64, null, null)]
    public void AShortTextIsToldOf(int characters, int? windows, string? message)
    {
        File.WriteAllText(_folder.File("a.txt"), new string('x', characters));
        var file = new TextFileWindows(Source("a.txt"), new CharacterTokenizer(), Config, AddBos.No, new TextWindowOptions { Windows = windows });
        string? shortage = file.Shortage(file.Count(), "`windows`");
        if (message is null) Assert.Null(shortage);
        else Assert.Contains(message, shortage, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatStandsInBothTextsIsFound()
    {
        var random = new Random(7);
        int[] ids = [.. Enumerable.Range(0, 640).Select(_ => random.Next(251))];
        int[][] calibration = [ids[..320], ids[320..]];
        Assert.Equal(1, TextOverlap.Share(calibration, [new TextWindow(ids[10..266])]));
        Assert.Equal(0, TextOverlap.Share(calibration, [new TextWindow([.. ids.Reverse()])]));
        // Two of four runs of 64.
        Assert.Equal(0.5, TextOverlap.Share(calibration, [new TextWindow([.. ids[5..133], .. Enumerable.Repeat(7, 128)])]));
    }

    private TextSource Source(string name) => new(_folder.File(name), new TextSourceOptions());

    private static string Text(TextWindow window) => string.Concat(window.Ids.Select(id => (char)id));
}
