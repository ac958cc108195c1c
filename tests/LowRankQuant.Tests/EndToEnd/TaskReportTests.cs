using System.Text.Json.Nodes;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>From <c>lrq eval --tasks --items</c> of the original and of a result to the result's reports, on the demo model with a quiz of the test's own.</summary>
public sealed class TaskReportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TaskReportTests()
    {
        File.WriteAllLines(_folder.File("quiz.jsonl"), Enumerable.Range(0, 40).Select(i =>
            new JsonObject { ["q"] = $"Once upon a time there were {i} cats. They", ["options"] = new JsonArray("played", "ran away", "were happy"), ["right"] = i % 3 }.ToJsonString()));
        File.WriteAllText(_folder.File("quiz.json"), """{"name":"quiz","file":"quiz.jsonl","context":"{{q}}","choices":["options"],"answer":"right"}""");
    }

    private string Output => _folder.File("w2");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task AnswersReachTheReportsOfTheirResult()
    {
        await Succeed("quantize", "demo", "--method", "rtn", "--bits", "2", "--eval-windows", "1", "--out", Output);
        Assert.Contains("Not measured: no answers to tasks are recorded", Page(), StringComparison.Ordinal);
        string full = _folder.File("full.jsonl"), own = _folder.File("w2.jsonl");
        await Succeed("eval", "demo", "--tasks", _folder.File("quiz.json"), "--items", full);
        await Succeed("eval", Output, "--tasks", _folder.File("quiz.json"), "--items", own);
        JsonNode before = Report();
        Assert.Contains("1 task is recorded", (await Succeed("report", Output, "--tasks", own, "--against", full)).Out, StringComparison.Ordinal);
        // What compare says of the same files, beside all that was known.
        JsonNode report = Report(), compared = JsonNode.Parse((await Succeed("compare", own, "--against", full, "--json")).Out)!;
        Assert.Equal(compared["tasks"]!["quiz"]!.ToJsonString(), report["tasks"]!["tasks"]!["quiz"]!.ToJsonString());
        Assert.Equal(("w2.jsonl", "full.jsonl"), ((string)report["tasks"]!["source"]!["items"]!, (string)report["tasks"]!["source"]!["against"]!));
        Assert.True((double)report["tasks"]!["tasks"]!["quiz"]!["against"]!["choice_kl"]!["difference"]! > 0);
        report.AsObject().Remove("tasks");
        Assert.Equal(before.ToJsonString(), report.ToJsonString());
        foreach (string part in new[] { "Difference from the original", "Divergence over the choices", "choice KL, nats", "w2.jsonl" }) Assert.Contains(part, Page(), StringComparison.Ordinal);
        Assert.DoesNotContain("no answers to tasks are recorded", Page(), StringComparison.Ordinal);
        Assert.Contains("| quiz | acc |", File.ReadAllText(Path.Combine(Output, "report.md")), StringComparison.Ordinal);
        string card = Path.Combine(Output, "README.md");
        Assert.Contains("| quiz | acc |", File.ReadAllText(card), StringComparison.Ordinal);
        Assert.True(ModelCard.IsOurs(card));
        // A finished run that is asked for more keeps what was recorded.
        await Succeed("quantize", "demo", "--method", "rtn", "--bits", "2", "--eval-windows", "2", "--out", Output);
        Assert.NotNull(Report()["tasks"]);
        // Without the original nothing is compared, and somebody's own card stays.
        File.WriteAllText(card, "mine");
        Assert.Contains("is somebody's own", (await Succeed("report", Output, "--tasks", own)).Error, StringComparison.Ordinal);
        Assert.Equal("mine", File.ReadAllText(card));
        Assert.Contains("Nothing was compared", Page(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatCannotBeRecordedChangesNothing()
    {
        Directory.CreateDirectory(Output);
        File.WriteAllText(Path.Combine(Output, "report.json"), """{"method":"a","scheme":"b","output":"c"}""");
        string items = _folder.File("items.jsonl"), other = _folder.File("other.jsonl");
        File.WriteAllText(items, """{"task":"quiz","index":0,"harness":"v0.4","logLikelihoods":[-1,-2],"gold":0,"prediction":0}""" + "\n");
        File.WriteAllText(other, """{"task":"quiz","index":0,"harness":"v0.3","logLikelihoods":[-1,-2],"gold":0,"prediction":0}""" + "\n");
        CliResult wrong = await Lrq.Run("report", Output, "--tasks", _folder.File("absent"), "--against", _folder.File("gone"), "--format", "md");
        Assert.Equal(2, wrong.Code);
        foreach (string problem in new[] { "--tasks", "--against", "--format does not go with --tasks" }) Assert.Contains(problem, wrong.Error, StringComparison.Ordinal);
        Assert.Contains("is for --tasks", (await Lrq.Run("report", Output, "--against", items)).Error, StringComparison.Ordinal);
        Assert.Contains("is about one result, and 2 are given", (await Lrq.Run("report", Output, Output, "--tasks", items)).Error, StringComparison.Ordinal);
        Assert.Contains("records into an output folder", (await Lrq.Run("report", Path.Combine(Output, "report.json"), "--tasks", items)).Error, StringComparison.Ordinal);
        CliResult mixed = await Lrq.Run("report", Output, "--tasks", items, "--against", other);
        Assert.Equal(1, mixed.Code);
        Assert.Contains("cannot be compared", mixed.Error, StringComparison.Ordinal);
        Assert.Equal(["report.json"], Directory.GetFileSystemEntries(Output).Select(Path.GetFileName));
        Assert.Equal("""{"method":"a","scheme":"b","output":"c"}""", File.ReadAllText(Path.Combine(Output, "report.json")));
        // A report beside no model has no card.
        await Succeed("report", Output, "--tasks", items);
        Assert.Equal(["report.html", "report.json", "report.md"], Directory.GetFiles(Output).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    private static async Task<CliResult> Succeed(params string[] arguments)
    {
        CliResult run = await Lrq.Run([.. arguments, .. arguments[0] is "quantize" or "eval" ? new[] { "--threads", "2" } : []]);
        Assert.True(run.Code == 0, run.Error);
        return run;
    }

    private string Page() => File.ReadAllText(Path.Combine(Output, "report.html"));

    private JsonNode Report() => JsonNode.Parse(File.ReadAllText(Path.Combine(Output, "report.json")))!;
}
