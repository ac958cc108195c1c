using System.Text.Json;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Reports in depth of whole runs: what <c>quantize</c> and <c>eval</c> say is one thing, and a finished run is looked at again where depth is missing.</summary>
public sealed class DepthRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Output => _folder.File("run");

    private string Report => File.ReadAllText(Path.Combine(Output, "report.md"));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task RunsAndEvaluationsSayTheSame()
    {
        RunReport report = await Quantize("--method", "svd", "--bits", "3", "--rank", "2", "--samples", "4", "--held-out", "1", "--sequence-length", "32", "--in-depth", "--swap-windows", "1");
        DepthReport depth = report.Result!.Depth!;
        Assert.Equal(512, depth.Divergence.Positions);
        Assert.Equal(28, depth.Modules.Count);
        Assert.All(depth.Modules, loss => Assert.True(loss is { KlDivergence: > 0, Rank: 2, Bits: > 3 and < 8 }, $"{loss}"));
        // One linear alone loses less than all together.
        Assert.All(depth.Modules, loss => Assert.True(loss.KlDivergence < report.Result.KlDivergence));
        Assert.NotEmpty(depth.Samples);
        Assert.NotEmpty(depth.Flips);
        Assert.Null(report.Rtn!.Depth);
        Assert.Null(report.FullPrecision!.Depth);
        foreach (string part in new[] { "## Where the result differs", "### Surest changes of the top token", "### Texts side by side", "### Linears that lose most alone" })
            Assert.Contains(part, Report, StringComparison.Ordinal);
        Assert.Contains("\"in_depth\": \"true\"", File.ReadAllText(Path.Combine(Output, "recipe.json")), StringComparison.Ordinal);
        CliResult eval = await Lrq.Run(
            "eval", Output, "--reference", TestData.Demo, "--text", Path.Combine(TestData.Demo, "evaluation.txt"), "--windows", "1", "--in-depth", "--swap-windows", "1", "--threads", "2", "--json");
        Assert.True(eval.Code == 0, eval.Error);
        DepthReport again = JsonSerializer.Deserialize(eval.Out, RunJson.Default.EvaluationResult)!.Depth!;
        Assert.Equal(Serialized(depth), Serialized(again));
        // Of one window of the demo the default is too dear, and says so.
        CliResult table = await Lrq.Run("eval", Output, "--reference", TestData.Demo, "--text", Path.Combine(TestData.Demo, "evaluation.txt"), "--windows", "1", "--in-depth", "--threads", "1");
        Assert.Contains("--swap-windows 1 asks for it", table.Out, StringComparison.Ordinal);
        foreach (string part in new[] { "99.9 %", "0.99 to 1", "end of text", "ratio", "surest flips", "texts side by side" }) Assert.Contains(part, table.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("linears that lose most", table.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFinishedRunIsLookedAtWhereDepthIsMissing()
    {
        string[] rounding = ["--method", "rtn", "--bits", "3", "--group-size", "32"];
        RunReport plain = await Quantize(rounding);
        Assert.Null(plain.Result!.Depth);
        Assert.DoesNotContain("Where the result differs", Report, StringComparison.Ordinal);
        SortedDictionary<string, string> tensors = Lrq.Hashes(Output, name => name.EndsWith("safetensors", StringComparison.Ordinal));
        RunReport deep = await Quantize([.. rounding, "--in-depth"]);
        Assert.NotNull(deep.Result!.Depth);
        Assert.Empty(deep.Result.Depth.Modules);
        // Means are what they were, the sample and the baseline were not made again, and nothing was quantized.
        Assert.Equal((plain.Result.KlDivergence, plain.Result.Perplexity, plain.FullPrecision!.Perplexity), (deep.Result.KlDivergence, deep.Result.Perplexity, deep.FullPrecision!.Perplexity));
        Assert.Equal((plain.Sample, plain.Rtn!.Seconds), (deep.Sample, deep.Rtn!.Seconds));
        Assert.Equal(tensors, Lrq.Hashes(Output, name => name.EndsWith("safetensors", StringComparison.Ordinal)));
        Assert.Contains("Where the result differs", Report, StringComparison.Ordinal);
        // More is there than is asked for, and the same again: nothing is done.
        string before = File.ReadAllText(Path.Combine(Output, "report.json"));
        await Quantize(rounding);
        await Quantize([.. rounding, "--in-depth"]);
        Assert.Equal(before, File.ReadAllText(Path.Combine(Output, "report.json")));
        // Linears one by one are another question.
        Assert.Equal(28, (await Quantize([.. rounding, "--in-depth", "--swap-windows", "1"])).Result!.Depth!.Modules.Count);
    }

    private static string Serialized(DepthReport depth) => JsonSerializer.Serialize(new EvaluationResult { Depth = depth }, RunJson.Default.EvaluationResult);

    private async Task<RunReport> Quantize(params string[] options)
    {
        CliResult run = await Lrq.Run(["quantize", "demo", "--eval-windows", "1", "--threads", "1", "--out", Output, "--json", .. options]);
        Assert.True(run.Code == 0, run.Error);
        return JsonSerializer.Deserialize(run.Out, RunJson.Default.RunReport)!;
    }
}
