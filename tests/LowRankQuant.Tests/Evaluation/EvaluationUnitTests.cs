using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Tests.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation;

public sealed class EvaluationUnitTests
{
    private static DecoderConfig Config => CalibrationLoaderTests.Config() with { MaxPositions = 8 };

    private static readonly int[] Text = [.. Enumerable.Range(0, 20)];

    [Fact]
    public void Windows_FollowEachOther()
    {
        IReadOnlyList<TextWindow> windows = TextWindows.Cut(Text, new TextWindowOptions(), Config);
        Assert.Equal(["0-7 0", "8-15 0", "16-19 0"], windows.Select(Describe));
        Assert.Equal(2, TextWindows.Cut(Text, new TextWindowOptions { KeepPartial = false }, Config).Count);
        Assert.Single(TextWindows.Cut(Text, new TextWindowOptions { Windows = 1 }, Config));
        Assert.Equal(["0-2 0", "3-5 0", "6-8 0"], TextWindows.Cut(Text.AsSpan(0, 10), new TextWindowOptions { Context = 3 }, Config).Select(Describe));
    }

    [Fact]
    public void OverlappingWindows_CountOnlyNewTokens()
    {
        IReadOnlyList<TextWindow> windows = TextWindows.Cut(Text, new TextWindowOptions { Stride = 5 }, Config);
        Assert.Equal(["0-7 0", "5-12 3", "10-17 3", "15-19 3"], windows.Select(Describe));
        Assert.Equal(Text.Length - 1, windows.Sum(window => window.ScoredTokens));
    }

    [Theory]
    [InlineData(1, null, 20, "context = 1")]
    [InlineData(9, null, 20, "context = 9")]
    [InlineData(4, 5, 20, "stride = 5")]
    [InlineData(4, 0, 20, "stride = 0")]
    [InlineData(4, null, 1, "has 1 tokens")]
    public void UnusableSizes_AreNamed(int context, int? stride, int length, string expected)
    {
        var options = new TextWindowOptions { Context = context, Stride = stride };
        Assert.Contains(expected, Assert.Throws<EvaluationException>(() => TextWindows.Cut(Text.AsSpan(0, length), options, Config)).Message);
    }

    [Fact]
    public void ForeignIds_AreNamed() =>
        Assert.Contains("token id 256 (number 1)", Assert.Throws<EvaluationException>(() => TextWindows.Cut([1, 256], new TextWindowOptions(), Config)).Message);

    [Fact]
    public void IdsFiles_GiveAWindowALine()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("a.ids");
        File.WriteAllText(path, "[1, 2, 3]\n\n[4,5]\n[6,7]\n");
        Assert.Equal(["1-3 0", "4-5 0"], TextWindows.ReadIds(path, Config, windows: 2).Select(Describe));
        foreach ((string line, string expected) in new[]
        {
            ("[1]", "line 1 has 1 ids"), ("[1,2,3,4,5,6,7,8,9]", "takes 2 to 8"), ("[1,\"2\"]", "element 1"), ("[1,", "not sound JSON"), ("{}", "line 1 is no array of token ids"),
            ("[1,256]", "token id 256"), ("", "is empty"), ("\n", "no windows"),
        })
        {
            File.WriteAllText(path, line);
            Exception failure = Assert.ThrowsAny<Exception>(() => TextWindows.ReadIds(path, Config).Count());
            Assert.True(failure is EvaluationException or TextSourceException, failure.ToString());
            Assert.Contains(expected, failure.Message);
        }
    }

    [Fact]
    public void Rows_AreJoinedWithBlankOnesEmpty() => Assert.Equal("\n\n = A = \n\n\n\n\nb\n\n\nc", WikiText.JoinRows(new StringReader(" \n = A = \n\nb\nc")).ReadToEnd());

    [Fact]
    public void Means_AndTheirErrors()
    {
        WindowScore[] scores = [new(0, [1, 2, 3], [0.1, 0.2, 0.3], [true, true, false]), new(1, [4], [0.6], [false])];
        EvaluationResult windows = Result(PerplexityAverage.Windows, scores), tokens = Result(PerplexityAverage.Tokens, scores);
        Assert.Equal(3, windows.NegativeLogLikelihood!.Value, 1e-12);
        Assert.Equal(1, windows.StandardErrors["negativeLogLikelihood"], 1e-12);
        Assert.Equal(Math.Exp(3), windows.StandardErrors["perplexity"], 1e-9);
        Assert.Equal(Math.Exp(2.5), tokens.Perplexity!.Value, 1e-9);
        Assert.Equal(Math.Sqrt(5.0 / 3 / 4), tokens.StandardErrors["negativeLogLikelihood"], 1e-12);
        Assert.Equal(0.3, tokens.KlDivergence!.Value, 1e-12);
        Assert.Equal(Math.Sqrt(0.14 / 3 / 4), tokens.StandardErrors["klDivergence"], 1e-12);
        Assert.Equal((0.5, 4L, 2), (tokens.Top1Agreement, tokens.Tokens, tokens.Windows));
        Assert.Equal(Math.Sqrt(0.25 / 3), tokens.StandardErrors["top1Agreement"], 1e-12);
        EvaluationResult one = Result(PerplexityAverage.Windows, scores[..1]);
        Assert.Equal(Math.Sqrt(1.0 / 3), one.StandardErrors["negativeLogLikelihood"], 1e-12);
    }

    [Fact]
    public void Json_HasExactlyTheAgreedKeys()
    {
        JsonObject json = (JsonObject)JsonNode.Parse(Result(PerplexityAverage.Tokens, [new(0, [1, 2], [0, 0], [true, true])]).ToJson())!;
        Assert.Equal(
            [
                "perplexity", "negativeLogLikelihood", "tokens", "windows", "klDivergence", "top1Agreement", "standardErrors", "bitsPerWeight",
                "modelBitsPerWeight", "seconds", "peakMemoryBytes",
            ],
            json.Select(property => property.Key));
        Assert.Null(json["bitsPerWeight"]);
        Assert.Equal(["perplexity", "negativeLogLikelihood", "klDivergence", "top1Agreement"], json["standardErrors"]!.AsObject().Select(property => property.Key));
        Assert.Equal(1.5, (double)json["negativeLogLikelihood"]!);
        Assert.Equal("Infinity", (string?)(new EvaluationResult { Perplexity = double.PositiveInfinity }).ToJsonObject()["perplexity"]);
    }

    [Fact]
    public void Ratios_AndTheirErrors()
    {
        var random = new Random(5);
        (double Value, double Size)[] pairs = [.. Enumerable.Range(0, 1000).Select(i => (Size: (double)random.Next(i == 0 ? 1 : 0, 5000), random)).Select(pair => (pair.Size * (4 + (0.01 * random.NextDouble())), pair.Size))];
        var running = new RunningRatio();
        foreach ((double value, double size) in pairs) running.Add(value, size);
        double total = pairs.Sum(pair => pair.Size), ratio = pairs.Sum(pair => pair.Value) / total;
        double squares = pairs.Sum(pair => Math.Pow(pair.Value - (ratio * pair.Size), 2));
        Assert.Equal(ratio, running.Ratio, 1e-12);
        Assert.Equal(1, running.Error!.Value / (Math.Sqrt(squares * pairs.Length / (pairs.Length - 1)) / total), 1e-9);
        var one = new RunningRatio();
        one.Add(3, 2);
        Assert.Equal((1.5, null), (one.Ratio, one.Error));
    }

    private static EvaluationResult Result(PerplexityAverage average, WindowScore[] scores)
    {
        var statistics = new EvaluationStatistics(average, compared: true);
        foreach (WindowScore score in scores) statistics.Add(score);
        return statistics.Result();
    }

    private static string Describe(TextWindow window) => $"{window.Ids[0]}-{window.Ids[^1]} {window.FirstNew}";
}
