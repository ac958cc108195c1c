using System.Diagnostics;
using System.Text.Json;
using LowRankQuant.Runs.Comparisons;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Tests.Reports;

/// <summary>
/// Pages in a real browser without a network: 1280 and 360 pixels, light and dark, printed; what overlaps, is cut off, cannot be read or cannot be reached is a failure. LRQ_SCREENSHOTS
/// names a folder to keep pictures in.
/// </summary>
public sealed class BrowserTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private static readonly string Playwright = Path.Combine(TestData.RepositoryRoot, "artifacts", "npm", "node_modules", "playwright-core");

    [Fact]
    public async Task PagesAreReadableEverywhere()
    {
        string? node = Program("node"), chromium = Environment.GetEnvironmentVariable("LRQ_CHROMIUM") ?? Program("chromium");
        Assert.SkipUnless(node is not null && chromium is not null && Directory.Exists(Playwright), "node, chromium or playwright-core is absent: '.ci/install-playwright' installs what is missing, LRQ_CHROMIUM names another browser.");
        using var folder = new TemporaryFolder();
        string screenshots = Environment.GetEnvironmentVariable("LRQ_SCREENSHOTS") is { Length: > 0 } kept ? Directory.CreateDirectory(kept).FullName : "";
        string[] pages =
        [
            Page("full", ReportHtml.Write(SampleReports.Named("out", SampleReports.Full()))),
            Page("plain", ReportHtml.Write(SampleReports.Named("out", Plain()))),
            Page("bare", ReportHtml.Write(SampleReports.Named("out", SampleReports.Bare()))),
            Page("compared", ComparisonPage.Html(
            [
                SampleReports.Named("qwen3-w3", SampleReports.Full(4)), SampleReports.Named("qwen3-w4", Small(SampleReports.Full(4, "flexround", 0.011, 4.13))),
                SampleReports.Named("qwen3-other-text", Small(SampleReports.Full(4, "awq", 0.03, 3.5, new string('b', 64)))), SampleReports.Named("qwen3-w2-with-quite-a-long-name", Small(SampleReports.Full(4, "lrq+", 0.31, 2.28))),
            ])),
            Page("comparison", ComparisonHtml.Of("model", SampleCells.Many())),
        ];
        string[] pictures =
        [
            Page("layers", RankChart.Draw(SampleCells.Layers()), ".svg"),
            Page("kl", BitsChart.Draw("KL divergence from the original", SampleCells.Many(), cell => cell.Result?.KlDivergence), ".svg"),
        ];
        (int code, string output, string error) = await Run(node!, [Path.Combine(TestData.RepositoryRoot, "tests", "LowRankQuant.Tests", "Reports", "browser.cjs"), Playwright, chromium!, screenshots, .. pages, .. pictures]);
        Assert.True(code == 0, error);
        using JsonDocument found = JsonDocument.Parse(output);
        string[] problems = [.. found.RootElement.GetProperty("problems").EnumerateArray().Select(problem => problem.GetString()!)];
        Assert.True(problems.Length == 0, string.Join("\n", problems.Take(40)));
        JsonElement seen = found.RootElement.GetProperty("seen");
        // A check that saw nothing would find nothing.
        Assert.Equal(4 * (pages.Length + pictures.Length), seen.GetProperty("pages").GetInt32());
        Assert.Equal(pages.Length, seen.GetProperty("printed").GetInt32());
        foreach ((string what, int least) in new[] { ("figures", 60), ("texts", 500), ("contrasts", 1000), ("words", 500), ("stops", 40), ("sorted", 2) })
            Assert.True(seen.GetProperty(what).GetInt32() >= least, $"{what}: {seen.GetProperty(what)}");

        string Page(string name, string html, string kind = ".html")
        {
            string file = Path.Combine(screenshots.Length > 0 ? screenshots : folder.Path, name + kind);
            File.WriteAllText(file, html);
            return file;
        }
    }

    private static RunReport Small(RunReport report) => report with { Result = report.Result! with { Depth = null }, Tasks = null, Tensors = [], Blocks = [] };

    // As a run without figures in depth leaves it: a deep model with experts, and one block alone that learned nothing.
    private static RunReport Plain()
    {
        RunReport full = SampleReports.Full(48);
        return full with
        {
            Result = full.Result! with { Depth = null },
            Tasks = null,
            Tensors = [.. from block in Enumerable.Range(0, 48) from expert in Enumerable.Range(0, 4) from module in new[] { "up_proj", "down_proj" } select new TensorReport(block, $"mlp.experts.{expert}.{module}", 512, 1024, "w4 symmetric g32", 4, 0, 4.5, 0.05 + (0.001 * ((block * 3) + expert)))],
            Engines = null,
        };
    }

    private static async Task<(int Code, string Output, string Error)> Run(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        // A browser that hangs is ended with all of its processes, and the test fails.
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(Patience);
        using CancellationTokenRegistration ending = patience.Token.Register(() => process.Kill(entireProcessTree: true));
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken), error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, patience.IsCancellationRequested ? $"The browser was not done within {Patience}. {await error}" : await error);
    }

    private static string? Program(string name) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .Select(folder => Path.Combine(folder, OperatingSystem.IsWindows() ? name + ".exe" : name)).FirstOrDefault(File.Exists);
}
