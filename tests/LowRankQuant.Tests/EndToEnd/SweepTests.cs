using System.Text.Json.Nodes;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>One or two options at several values.</summary>
public sealed class SweepTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task EveryPairOfValuesIsACell()
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(Sweep(output, "--vary", "rank=1,8", "--vary", "row-offset=true,false"));
        Assert.True(run.Code == 0, run.Error);
        string[] cells = [.. Directory.GetFiles(Path.Combine(output, "cells")).Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal)];
        Assert.Equal(["row-offset=false.rank=1", "row-offset=false.rank=8", "row-offset=true.rank=1", "row-offset=true.rank=8"], cells);
        // r2 is a number for every output.
        long with = Learned(output, "row-offset=true.rank=1"), without = Learned(output, "row-offset=false.rank=1");
        Assert.Equal(4 * (256 + 128 + 128 + 256 + 768 + 768 + 256), with - without);
        Assert.True(Learned(output, "row-offset=true.rank=8") > with);
        Assert.Contains("## row-offset=false", File.ReadAllText(Path.Combine(output, "comparison.md")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task FilesAreCalledByTheirNames()
    {
        string output = _folder.File("out"), text = Path.Combine(TestData.Demo, "evaluation.txt");
        CliResult run = await Lrq.Run(Of("gptq", output, ["--vary", $"eval-text={text},{Path.Combine(TestData.Demo, "calibration.txt")}"]));
        Assert.True(run.Code == 0, run.Error);
        Assert.Equal(["gptq.eval-text=calibration.txt.json", "gptq.eval-text=evaluation.txt.json"], Directory.GetFiles(Path.Combine(output, "cells")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task LayersWithBranchesHaveAPicture()
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(Of("flrq", output, ["--vary", "rank=0,4", "--rank-rule", "fixed", "--epochs", "1"]));
        Assert.True(run.Code == 0, run.Error);
        JsonNode cell = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "cells", "flrq.rank=4.json")))!;
        Assert.Equal(4 * 7, cell["layers"]!.AsArray().Count);
        Assert.All(cell["layers"]!.AsArray(), layer => Assert.InRange((double)layer!["residualMagnitude"]!, 1e-6, 2 * (double)layer["magnitude"]!));
        Assert.Equal("3.self_attn.q_proj", (string?)cell["layers"]![3 * 7]!["name"]);
        Assert.Contains("amax", File.ReadAllText(Path.Combine(output, "layers-flrq.rank=4.svg")), StringComparison.Ordinal);
        Assert.Contains("](layers-flrq.rank=4.svg)", File.ReadAllText(Path.Combine(output, "comparison.md")), StringComparison.Ordinal);
        // Without branches every layer got the same.
        Assert.Null(JsonNode.Parse(File.ReadAllText(Path.Combine(output, "cells", "flrq.rank=0.json")))!["layers"]);
        Assert.False(File.Exists(Path.Combine(output, "layers-flrq.rank=0.svg")));
    }

    [Theory]
    [InlineData("rank", "give KEY=V1,V2")]
    [InlineData("rnak=1,2", "no option --rnak")]
    public async Task WrongRequestsAreRefusedBeforeTheWork(string vary, string expected)
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(Sweep(output, "--vary", vary));
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    private static string[] Sweep(string output, params string[] vary) => Of("lrq", output, ["--iterations", "3", .. vary]);

    private static string[] Of(string method, string output, params string[] options) =>
    [
        "sweep", "demo", "--method", method, "--bits", "3", .. options, "--samples", "4", "--held-out", "2", "--sequence-length", "64", "--eval-windows", "1", "--threads", "1", "--out", output,
    ];

    private static long Learned(string output, string cell) => (long)JsonNode.Parse(File.ReadAllText(Path.Combine(output, "cells", cell + ".json")))!["learnedParameters"]!;
}
