using System.Text.Json;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>The papers' procedure trains once with the rate that it was given and keeps the last step; ours starts again where that made a block worse.</summary>
public sealed class PaperPresetTests
{
    [Theory]
    [InlineData("paper")]
    [InlineData("fast")]
    public async Task OnlyOursStartsAgain(string preset)
    {
        using var folder = new TemporaryFolder();
        string[] training = ["--samples", "4", "--held-out", "0", "--keep-best", "false", "--sequence-length", "32", "--iterations", "3", "--rank", "4", "--learning-rate", "3"];
        CliResult run = await Lrq.Run(
            ["quantize", "demo", "--method", "lrq", "--bits", "4", "--preset", preset, .. training, "--blocks", "1", "--threads", "1", "--out", folder.File("out"), "--json"]);
        Assert.True(run.Code == 0, run.Error);
        RunReport report = JsonSerializer.Deserialize(run.Out, RunJson.Default.RunReport)!;
        int restarts = report.Warnings.Count(warning => warning.Contains("no better than its start", StringComparison.Ordinal));
        if (preset == "paper")
        {
            Assert.Equal((3, 0), (Assert.Single(report.Blocks).KeptIteration, restarts));
            Assert.Contains("the last step is kept, as the paper does", Assert.Single(report.Warnings), StringComparison.Ordinal);
        }
        else
        {
            Assert.True(restarts > 0, "the rate was meant to be too large");
        }
    }
}
