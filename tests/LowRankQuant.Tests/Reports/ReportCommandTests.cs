using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Runs.Comparisons;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Tests.Cli;

namespace LowRankQuant.Tests.Reports;

/// <summary><c>lrq report</c>: what is written where, and what is refused.</summary>
public sealed class ReportCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task TheReportOfAFolderIsWrittenIntoIt()
    {
        string one = Result("one", SampleReports.Full(2) with { Result = SampleReports.Full(2).Result! with { Depth = null } });
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("report", one));
        string page = File.ReadAllText(Path.Combine(one, "report.html"));
        Assert.Contains("<code>--in-depth</code> measures them", page, StringComparison.Ordinal);
        Assert.Contains("smaller <code>--samples</code>", page, StringComparison.Ordinal);
        Assert.Contains("lrq quantize Qwen/Qwen3-0.6B --recipe recipe.json --out FOLDER", page, StringComparison.Ordinal);
        Assert.Contains($"written to {Path.Combine(one, "report.html")}", cli.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task SeveralResultsAreOnePage()
    {
        string one = Result("one", SampleReports.Full(2)), two = Result("two", SampleReports.Full(2, "awq", 0.05, 3.3)), page = _folder.File("page.html");
        Assert.Equal(0, await new CliHarness().Run("report", one, Path.Combine(two, "report.json"), "--out", page));
        Assert.Contains(">two</h2>", File.ReadAllText(page), StringComparison.Ordinal);
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("report", one, two, "--format", "json"));
        Assert.Equal(2, JsonNode.Parse(cli.Out)!["results"]!.AsArray().Count);
        cli = new CliHarness();
        Assert.Equal(0, await cli.Run("report", one, two, "--format", "md"));
        Assert.StartsWith("# Comparison", cli.Out, StringComparison.Ordinal);
        Assert.Equal(0, await new CliHarness().Run("report", one, "--out", _folder.File("one.md")));
        Assert.StartsWith("# lrq, w3", File.ReadAllText(_folder.File("one.md")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task DifferentTextsAreWarnedOf()
    {
        string one = Result("one", SampleReports.Full(2)), two = Result("two", SampleReports.Full(2, text: new string('e', 64)));
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("report", one, two, "--out", _folder.File("page.html")));
        Assert.Contains("warning: These results were not all measured on the same text", cli.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EverythingThatIsWrongIsSaidAtOnce()
    {
        string broken = _folder.File("broken.json");
        File.WriteAllText(broken, "{");
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run("report", _folder.File("absent"), broken, "--format", "pdf"));
        Assert.Contains("--format pdf: must be one of html, md, json", cli.Error, StringComparison.Ordinal);
        Assert.Contains("holds no report.json", cli.Error, StringComparison.Ordinal);
        Assert.Contains("is no sound report", cli.Error, StringComparison.Ordinal);
        Assert.Contains("--out is missing", cli.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AReportIsNotWrittenOverItself()
    {
        string one = Result("one", SampleReports.Full(2)), file = Path.Combine(one, "report.json"), before = File.ReadAllText(file);
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run("report", one, "--out", file));
        Assert.Contains("is a report that is read", cli.Error, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllText(file));
        Assert.Equal(2, await new CliHarness().Run("report", one, "--out", one));
    }

    [Fact]
    public async Task AComparisonIsAPageByItself()
    {
        string folder = _folder.File("methods"), cells = Path.Combine(folder, "cells");
        Directory.CreateDirectory(cells);
        Assert.Equal(1, await new CliHarness().Run("report", folder));
        foreach (CellResult cell in SampleCells.Many()) File.WriteAllText(Path.Combine(cells, $"{cell.Scheme}.{cell.Method}.json"), ComparisonTable.Json([cell]).Trim()[1..^1]);
        Assert.Equal(0, await new CliHarness().Run("report", folder));
        string page = File.ReadAllText(Path.Combine(folder, "comparison.html"));
        Assert.Contains("Error of block outputs, w2a16-g64", page, StringComparison.Ordinal);
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("report", folder, "--format", "json"));
        Assert.Equal(SampleCells.Many().Count, JsonNode.Parse(cli.Out)!.AsArray().Count);
        cli = new CliHarness();
        Assert.Equal(0, await cli.Run("report", folder, "--format", "md"));
        Assert.StartsWith("# methods\n", cli.Out, StringComparison.Ordinal);
        Assert.Equal(2, await new CliHarness().Run("report", folder, "--out", Path.Combine(cells, "page.html")));
        // Damage is refused by the name of its file.
        foreach (string damage in new[] { "{", "null", """{"method":"a","scheme":"b"}""", """{"method":"a","scheme":"b","key":"c","outputErrors":[null]}""", """{"method":"a","scheme":"b","key":"c","outputErrors":[{"text":"t","rmse":null}]}""", """{"method":null,"scheme":"b","key":"c"}""" })
        {
            File.WriteAllText(Path.Combine(cells, "a.json"), damage);
            cli = new CliHarness();
            Assert.Equal(1, await cli.Run("report", folder));
            Assert.Contains("a.json", cli.Error, StringComparison.Ordinal);
        }
        File.WriteAllText(Path.Combine(cells, "a.json"), """{"method":"a","scheme":"b","key":"c"}""");
        Assert.Equal(0, await new CliHarness().Run("report", folder));
    }

    private string Result(string name, RunReport report)
    {
        string folder = _folder.File(name);
        Directory.CreateDirectory(folder);
        File.WriteAllBytes(Path.Combine(folder, "report.json"), JsonSerializer.SerializeToUtf8Bytes(report, RunJson.Default.RunReport));
        return folder;
    }
}
