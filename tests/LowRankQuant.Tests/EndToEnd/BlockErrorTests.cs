using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Accumulated errors of block outputs in comparisons and sweeps: measured with the cell, kept with it, shown by scheme.</summary>
public sealed class BlockErrorTests : IDisposable
{
    private const int Length = 64, Windows = 3;
    private readonly TemporaryFolder _folder = new();

    private string Output => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task EveryCellIsMeasuredOnTheSameWindows()
    {
        string unseen = Path.Combine(TestData.Demo, "evaluation.txt"), copy = _folder.File("other text.txt");
        File.WriteAllText(copy, File.ReadAllText(unseen)[5000..9000]);
        string[] asked = ["--cache", "off", "--rmse-windows", $"{Windows}", "--rmse-text", unseen, "--rmse-text", copy];
        await Run([.. Compare("rtn,lrq", "w4a8"), "--keep-models", .. asked]);
        JsonArray rtn = Errors("w4a8.rtn"), lrq = Errors("w4a8.lrq");
        Assert.Equal([("calibration.txt", true), ("evaluation.txt", false), ("other text.txt", false)], rtn.Select(text => ((string)text!["text"]!, (bool)text["isCalibration"]!)));
        Assert.Equal(rtn.Select(text => ((int)text!["windows"]!, (long)text["tokens"]!)), lrq.Select(text => ((int)text!["windows"]!, (long)text["tokens"]!)));
        Assert.All(rtn, text => Assert.Equal((Windows, (long)Windows * Length), ((int)text!["windows"]!, (long)text["tokens"]!)));
        // What was learned from is closer, at the end of the model, than by rounding alone.
        Assert.True(Rmse(lrq[0]!)[^1] < Rmse(rtn[0]!)[^1]);
        // The quantized model as it runs, with its activations rounded.
        Assert.Equal(Measured("w4a8.lrq", quantizers: true), Rmse(lrq[0]!), (one, other) => Math.Abs(one - other) < 1e-6 * one);
        Assert.NotEqual(Measured("w4a8.lrq", quantizers: false)[^1], Rmse(lrq[0]!)[^1], 1e-6);

        string page = File.ReadAllText(Path.Combine(Output, "comparison.md"));
        Assert.Contains("| scheme | method | text | windows | block 1 | block 2 | block 4 |", page, StringComparison.Ordinal);
        Assert.Equal(6, page.Split('\n').Count(line => line.StartsWith("| w4a8 | ", StringComparison.Ordinal)));
        Assert.Contains("![](rmse-w4a8.svg)", page, StringComparison.Ordinal);
        string picture = File.ReadAllText(Path.Combine(Output, "rmse-w4a8.svg"));
        Assert.Equal((6, 4), (picture.Split("<polyline").Length - 1, picture.Split("<polyline").Count(line => line.Split("/>")[0].EndsWith(" dashed\"", StringComparison.Ordinal))));
        Assert.Contains("rtn, other text.txt: ", picture, StringComparison.Ordinal);

        // The same again measures nothing again; another number of windows is another cell.
        DateTime before = File.GetLastWriteTimeUtc(CellFile("w4a8.lrq"));
        await Run([.. Compare("rtn,lrq", "w4a8"), .. asked]);
        Assert.Equal(before, File.GetLastWriteTimeUtc(CellFile("w4a8.lrq")));
        await Run([.. Compare("rtn,lrq", "w4a8"), "--cache", "off", "--rmse-windows", "2"]);
        Assert.Equal([2, 2], Errors("w4a8.lrq").Select(text => (int)text!["windows"]!));
    }

    [Fact]
    public async Task ACellOfAnEarlierVersionIsRead()
    {
        await Run(Compare("rtn", "w3a16"));
        // Nothing here looks at text: the evaluation text alone.
        Assert.Equal("evaluation.txt", (string)Assert.Single(Errors("w3a16.rtn"))!["text"]!);
        JsonObject cell = JsonNode.Parse(File.ReadAllText(CellFile("w3a16.rtn")))!.AsObject();
        cell.Remove("outputErrors");
        string without = cell.ToJsonString();
        File.WriteAllText(CellFile("w3a16.rtn"), without);
        CliResult again = await Run(Compare("rtn", "w3a16"));
        Assert.Contains("w3a16, rtn: there already", again.Out + again.Error, StringComparison.Ordinal);
        Assert.Equal(without, File.ReadAllText(CellFile("w3a16.rtn")));
        Assert.DoesNotContain("Accumulated error", File.ReadAllText(Path.Combine(Output, "comparison.md")), StringComparison.Ordinal);
    }

    /// <summary>A rotated stream is compared with the original's, rotated along.</summary>
    [Fact]
    public async Task RotatedStreamsAreComparedAsTheyAre()
    {
        await Run(["sweep", "demo", "--method", "rtn", "--bits", "8", "--vary", "transform=rotation,none", "--eval-windows", "1", "--rmse-windows", "1", "--threads", "1", "--out", Output]);
        double[] rotated = Rmse(Assert.Single(Errors("rtn.transform=rotation"))!), plain = Rmse(Assert.Single(Errors("rtn.transform=none"))!);
        for (int i = 0; i < plain.Length; i++) Assert.InRange(rotated[i], plain[i] / 5, plain[i] * 5);
        Assert.True(File.Exists(Path.Combine(Output, BlockErrorChart.FileName("rtn"))));
    }

    [Theory]
    [InlineData("--rmse-windows 0", "--rmse-windows 0: must be at least 1")]
    [InlineData("--rmse-text none.txt", "--rmse-text none.txt: there is no such file")]
    [InlineData("--eval-context 513", "--eval-context 513: the model takes at most 512 tokens")]
    public async Task WrongRequestsAreRefusedBeforeTheWork(string options, string expected)
    {
        foreach (string[] command in new[] { Compare("rtn", "w3a16"), ["sweep", "demo", "--method", "rtn", "--vary", "bits=3,4", "--out", Output] })
        {
            CliResult run = await Lrq.Run([.. command, .. options.Split(' ')]);
            Assert.True(run.Code == 2 || options.Contains("context", StringComparison.Ordinal), run.Error);
            Assert.NotEqual(0, run.Code);
            Assert.Contains(expected, run.Error, StringComparison.Ordinal);
            Assert.False(Directory.Exists(Output));
        }
    }

    [Fact]
    public async Task AskingForWhatCannotBeMeasuredIsRefused()
    {
        CliResult run = await Lrq.Run([.. Compare("rtn", "w3a16").Where(word => word is not ("--eval-windows" or "--threads" or "1")), "--threads", "1", "--blocks", "1", "--rmse-windows", "2"]);
        Assert.NotEqual(0, run.Code);
        Assert.Contains("--rmse-text and --rmse-windows are about errors of blocks, and these runs give no model that can be run: leave them out.", run.Error, StringComparison.Ordinal);
    }

    /// <summary>Shorter windows of the evaluation text are more windows, and another cell; where nothing is said the key is as ever.</summary>
    [Fact]
    public async Task TheContextOfTheEvaluationTextCanBeChosen()
    {
        string[] all = [.. Compare("rtn", "w3a16").Where(word => word is not ("--eval-windows" or "--threads" or "1")), "--threads", "1"];
        await Run([.. all, "--eval-context", "256"]);
        JsonNode shorter = JsonNode.Parse(File.ReadAllText(CellFile("w3a16.rtn")))!;
        await Run(all);
        JsonNode usual = JsonNode.Parse(File.ReadAllText(CellFile("w3a16.rtn")))!;
        Assert.NotEqual((string)usual["key"]!, (string)shorter["key"]!);
        Assert.InRange((int)shorter["result"]!["windows"]!, (2 * (int)usual["result"]!["windows"]!) - 1, 2 * (int)usual["result"]!["windows"]!);
    }

    private static async Task<CliResult> Run(string[] command)
    {
        CliResult run = await Lrq.Run(command);
        Assert.True(run.Code == 0, run.Error);
        return run;
    }

    private string[] Compare(string methods, string schemes) =>
    [
        "compare-methods", "demo", "--methods", methods, "--schemes", schemes, .. methods == "rtn" ? Array.Empty<string>() : ["--samples", "4", "--held-out", "2", "--sequence-length", $"{Length}", "--iterations", "20", "--rank", "8"],
        "--eval-windows", "1", "--threads", "1", "--out", Output,
    ];

    private string CellFile(string cell) => Path.Combine(Output, "cells", cell + ".json");

    private JsonArray Errors(string cell) => JsonNode.Parse(File.ReadAllText(CellFile(cell)))!["outputErrors"]!.AsArray();

    private static double[] Rmse(JsonNode text) => [.. text["rmse"]!.AsArray().Select(error => (double)error!)];

    private IReadOnlyList<double> Measured(string cell, bool quantizers)
    {
        string folder = Path.Combine(Output, "models", cell);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var original = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), device);
        using var result = new CausalModel(CheckpointOpener.Open(folder), device) { RunsQuantizers = quantizers };
        using ModelRunner runner = new(result), reference = new(original);
        int[][] windows = [.. TextWindows.ReadIds(Path.Combine(folder, "calibration.ids.jsonl"), original.Config, Windows).Select(window => window.Ids)];
        return AccumulatedError.Of(runner, reference, windows, cancellation: TestContext.Current.CancellationToken);
    }
}
