using System.Text.Json;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>A whole run on the demo: what it leaves, what reads it back, what happens to it when it is started again.</summary>
public sealed class DemoRunTests
{
    private static readonly string EvaluationText = Path.Combine(TestData.Demo, "evaluation.txt");

    [Fact]
    public async Task ARunLeavesACheckpointWithItsProof()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("run");
        CliResult run = await Lrq.Run([.. Lrq.SmallRun(output), "--json"]);
        Assert.True(run.Code == 0, run.Error);
        string[] files =
        [
            ".lrq/fingerprint.json", ".lrq/run.log", "README.md", "calibration.ids.jsonl", "config.json", "generation_config.json", "heldout.ids.jsonl",
            "model.safetensors", "recipe.json", "report.html", "report.json", "report.md", "tokenizer.json", "tokenizer_config.json",
        ];
        Assert.Equal(files, Lrq.Hashes(output).Keys.Select(name => name.Replace('\\', '/')));
        using JsonDocument report = JsonDocument.Parse(run.Out), stored = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(output, "report.json")));
        Assert.True(JsonElement.DeepEquals(report.RootElement, stored.RootElement));
        CheckReport(report.RootElement);
        string[] windows = File.ReadAllLines(Path.Combine(output, "calibration.ids.jsonl"));
        Assert.Equal(8, windows.Length);
        Assert.All(windows, line => Assert.Equal(64, JsonSerializer.Deserialize<int[]>(line)!.Length));
        Assert.Equal(File.ReadAllBytes(Path.Combine(TestData.Demo, "tokenizer.json")), File.ReadAllBytes(Path.Combine(output, "tokenizer.json")));
        await CheckInspection(output, report.RootElement);
        await CheckEvaluation(output, report.RootElement);
    }

    [Fact]
    public async Task ThreadsDoNotChangeAByte()
    {
        using var folder = new TemporaryFolder();
        string one = folder.File("one"), two = folder.File("two");
        Assert.Equal(0, (await Lrq.Run(Lrq.SmallRun(one, threads: 1))).Code);
        Assert.Equal(0, (await Lrq.Run(Lrq.SmallRun(two, threads: 2))).Code);
        Assert.Equal(Lrq.Bytes(one), Lrq.Bytes(two));
    }

    [Fact]
    public async Task AFinishedRunIsReportedAndLeftAlone()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("run");
        string[] command = [.. Lrq.Rounding(output), "--json"];
        CliResult first = await Lrq.Run(command);
        Assert.True(first.Code == 0, first.Error);
        SortedDictionary<string, string> before = Lrq.Hashes(output, IsNoLog);
        Dictionary<string, DateTime> times = before.Keys.ToDictionary(name => name, name => File.GetLastWriteTimeUtc(Path.Combine(output, name)));
        CliResult again = await Lrq.Run(command);
        Assert.Equal(0, again.Code);
        Assert.Equal(LastLine(first.Out), LastLine(again.Out));
        Assert.Equal(before, Lrq.Hashes(output, IsNoLog));
        Assert.All(times, file => Assert.Equal(file.Value, File.GetLastWriteTimeUtc(Path.Combine(output, file.Key))));
    }

    [Fact]
    public async Task AnotherRecipeInTheSameFolderNeedsOverwrite()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("run");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(output, "--bits", "4"))).Code);
        SortedDictionary<string, string> before = Lrq.Hashes(output);
        CliResult refused = await Lrq.Run(Lrq.Rounding(output, "--bits", "3"));
        Assert.Equal(2, refused.Code);
        Assert.Contains("holds another run (other options)", Assert.Single(Lines(refused.Error)), StringComparison.Ordinal);
        Assert.Equal(before, Lrq.Hashes(output));
        CliResult replaced = await Lrq.Run([.. Lrq.Rounding(output, "--bits", "3", "--overwrite"), "--json"]);
        Assert.True(replaced.Code == 0, replaced.Error);
        Assert.StartsWith("w3", JsonDocument.Parse(replaced.Out).RootElement.GetProperty("scheme").GetString(), StringComparison.Ordinal);
        Assert.NotEqual(before["model.safetensors"], Lrq.Hashes(output)["model.safetensors"]);
    }

    [Fact]
    public async Task OverwriteDeletesNothingButRuns()
    {
        using var folder = new TemporaryFolder();
        string model = folder.File("model"), notes = folder.File("notes");
        Directory.CreateDirectory(model);
        foreach (string file in Directory.GetFiles(TestData.Demo)) File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        Directory.CreateDirectory(notes);
        File.WriteAllText(Path.Combine(notes, "thesis.txt"), "years of work");
        SortedDictionary<string, string> before = Lrq.Hashes(folder.Path);
        string[] common = ["--method", "rtn", "--overwrite"];
        // Into the model, above the model, into somebody's folder, and over the text that is to be read.
        CliResult[] refused =
        [
            await Lrq.Run(["quantize", model, "--out", model, .. common]),
            await Lrq.Run(["quantize", model, "--out", Path.Combine(model, "..", "model") + Path.DirectorySeparatorChar, .. common]),
            await Lrq.Run(["quantize", model, "--out", folder.Path, .. common]),
            await Lrq.Run(["quantize", model, "--out", notes, .. common]),
            await Lrq.Run(["quantize", "demo", "--eval-text", Path.Combine(model, "evaluation.txt"), "--out", model, .. common]),
        ];
        Assert.All(refused, result => Assert.Equal(2, result.Code));
        Assert.Contains("holds the model itself", refused[0].Error, StringComparison.Ordinal);
        Assert.Contains("holds no run", refused[3].Error, StringComparison.Ordinal);
        Assert.Contains("would delete", refused[4].Error, StringComparison.Ordinal);
        Assert.Equal(before, Lrq.Hashes(folder.Path));
    }

    internal static string[] Lines(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static string LastLine(string text) => Lines(text)[^1];

    private static bool IsNoLog(string name) => Path.GetFileName(name) != "run.log";

    private static void CheckReport(JsonElement report)
    {
        Assert.Equal(4, report.GetProperty("blocks").GetArrayLength());
        foreach (JsonElement block in report.GetProperty("blocks").EnumerateArray().Some())
            Assert.True(block.GetProperty("lossAfter").GetDouble() < block.GetProperty("lossBefore").GetDouble());
        double full = Figure("fullPrecision", "perplexity"), rounded = Figure("rtn", "perplexity"), result = Figure("result", "perplexity");
        Assert.InRange(full, 5, 20);
        Assert.InRange(rounded, full, 2 * full);
        Assert.InRange(result, full * 0.95, 2 * full);
        Assert.InRange(Figure("result", "klDivergence"), 1e-4, 0.5);
        Assert.InRange(Figure("result", "bitsPerWeight"), 3.01, 3.2);
        Assert.True(report.GetProperty("resultBytes").GetInt64() < report.GetProperty("bf16Bytes").GetInt64() / 3);
        Assert.Equal(64, report.GetProperty("outputHash").GetString()!.Length);
        Assert.NotEmpty(report.GetProperty("sample").GetString()!);

        double Figure(string model, string name) => report.GetProperty(model).GetProperty(name).GetDouble();
    }

    private static async Task CheckInspection(string output, JsonElement report)
    {
        CliResult inspected = await Lrq.Run("inspect", output, "--json");
        Assert.Equal((0, ""), (inspected.Code, inspected.Error));
        using JsonDocument facts = JsonDocument.Parse(inspected.Out);
        Assert.Equal("compressed-tensors folder", facts.RootElement.GetProperty("kind").GetString());
        Assert.Equal(report.GetProperty("bitsPerWeight").GetDouble(), facts.RootElement.GetProperty("bitsPerWeight").GetDouble(), 1e-12);
        Assert.True(JsonElement.DeepEquals(report, facts.RootElement.GetProperty("report")));
        Assert.True(facts.RootElement.GetProperty("recipe").GetProperty("stages")[0].TryGetProperty("lrq", out _));
    }

    private static async Task CheckEvaluation(string output, JsonElement report)
    {
        CliResult evaluated = await Lrq.Run("eval", output, "--reference", "demo", "--text", EvaluationText, "--windows", "1", "--json");
        Assert.True(evaluated.Code == 0, evaluated.Error);
        using JsonDocument figures = JsonDocument.Parse(LastLine(evaluated.Out));
        JsonElement result = report.GetProperty("result");
        string[] names =
            ["perplexity", "negativeLogLikelihood", "klDivergence", "top1Agreement", "tokens", "windows", "bitsPerWeight", "modelBitsPerWeight"];
        foreach (string name in names)
            Assert.Equal(result.GetProperty(name).GetDouble(), figures.RootElement.GetProperty(name).GetDouble(), 1e-9);
    }
}
