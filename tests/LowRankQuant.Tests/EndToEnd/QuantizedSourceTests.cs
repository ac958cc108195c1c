using System.Text.Json;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>A source that is quantized already is called so everywhere, with its own bits; what cannot win anything is told what loses nothing.</summary>
public sealed class QuantizedSourceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("3", false)]
    [InlineData("4", true)] // with scales and zero points 4.63 bits beside 4.5
    public async Task ItsOwnBitsStandInPlanHeaderAndReport(string bits, bool advised)
    {
        string source = _folder.File("demo-q4_0.gguf"), output = _folder.File("out"), text = _folder.File("ids.jsonl");
        Assert.Equal(0, (await Lrq.Run("convert", "demo", "--to", "gguf", "--linear", "q4_0", "--out", source)).Code);
        File.WriteAllText(text, $"[{string.Join(',', Enumerable.Range(0, 128).Select(i => (i * 37) % 2048))}]\n");
        string[] options = [source, "--method", "rtn", "--bits", bits, "--group-size", "32", "--calibration", text, "--calibration-format", "ids", "--samples", "1", "--held-out", "1", "--sequence-length", "64", "--threads", "1"];
        CliResult planned = await Lrq.Run(["plan", .. options, "--untimed", "--json"]);
        PlanReport plan = JsonSerializer.Deserialize(planned.Out, RunJson.Default.PlanReport)!;
        Assert.Equal((4.5, "Q4_0"), (plan.SourceBitsPerWeight, plan.SourceTypes));
        Assert.Equal(new FileInfo(source).Length, plan.SourceBytes);
        Assert.Single(plan.Notes, note => note.Contains("The source is quantized itself: its linears are Q4_0, 4.50 bits per weight.", StringComparison.Ordinal));
        Assert.Equal(advised, plan.Notes.Any(IsAdvice));
        CliResult run = await Lrq.Run(["quantize", .. options, "--out", output, "--json"]);
        Assert.True(run.Code == 0, run.Error);
        Assert.Contains("The source is quantized itself: its linears are Q4_0, 4.50 bits per weight.", run.Error, StringComparison.Ordinal);
        RunReport report = JsonSerializer.Deserialize(run.Out, RunJson.Default.RunReport)!;
        Assert.Equal((4.5, "Q4_0", 4.5), (report.SourceBitsPerWeight, report.SourceTypes, report.FullPrecision!.BitsPerWeight));
        Assert.Equal(advised, report.Warnings.Any(IsAdvice));
        Assert.Equal(advised, DemoRunTests.Lines(run.Error).Any(line => line.StartsWith("warning: ", StringComparison.Ordinal) && IsAdvice(line)));
        Assert.Contains("| source (Q4_0) |", File.ReadAllText(Path.Combine(output, "report.md")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task SoIsAFolderOfCodesAndNotOneOfFloats()
    {
        string quantized = _folder.File("w4"), output = _folder.File("again");
        CliResult first = await Lrq.Run(Lrq.Rounding(quantized, "--bits", "4", "--group-size", "64", "--json"));
        RunReport floats = JsonSerializer.Deserialize(first.Out, RunJson.Default.RunReport)!;
        Assert.Equal((16.0, null), (floats.SourceBitsPerWeight, floats.SourceTypes));
        Assert.DoesNotContain("The source is quantized", first.Error, StringComparison.Ordinal);
        CliResult again = await Lrq.Run("quantize", quantized, "--method", "rtn", "--bits", "8", "--eval-text", Path.Combine(TestData.Demo, "evaluation.txt"), "--eval-windows", "1", "--threads", "1", "--out", output, "--json");
        Assert.True(again.Code == 0, again.Error);
        RunReport report = JsonSerializer.Deserialize(again.Out, RunJson.Default.RunReport)!;
        Assert.Equal("w4 asymmetric g64", report.SourceTypes);
        Assert.Equal(floats.BitsPerWeight!.Value, report.SourceBitsPerWeight!.Value, 1e-9);
        Assert.Contains(report.Warnings, IsAdvice);
    }

    private static bool IsAdvice(string text) => text.Contains("'lrq convert' and 'lrq export' move the source's own codes and lose nothing", StringComparison.Ordinal);
}
