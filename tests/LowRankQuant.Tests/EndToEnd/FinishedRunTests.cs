using System.Text.Json;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>A finished or interrupted run that is asked again: what is measured anew, what is refused by name, what is summed up over sessions.</summary>
public sealed class FinishedRunTests : IDisposable
{
    private static readonly string OtherText = Path.Combine(TestData.Demo, "calibration.txt");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Output => _folder.File("run");

    [Fact]
    public async Task OtherMeasurementsAreMadeAndTheSameAreNot()
    {
        RunReport first = await Run("--bits", "4");
        SortedDictionary<string, string> tensors = Lrq.Hashes(Output, name => name.EndsWith("safetensors", StringComparison.Ordinal));
        // Another text, more windows, a begin-of-text token: each is another measurement.
        RunReport text = await Run("--bits", "4", "--eval-text", OtherText);
        Assert.Equal(OtherText, text.EvaluationSource);
        Assert.NotEqual(first.FullPrecision!.Perplexity, text.FullPrecision!.Perplexity);
        RunReport windows = await Run("--bits", "4", "--eval-text", OtherText, "--eval-windows", "2");
        Assert.Equal((1, 2), (text.Result!.Windows, windows.Result!.Windows));
        RunReport bos = await Run("--bits", "4", "--eval-text", OtherText, "--eval-windows", "2", "--add-bos", "yes");
        Assert.Equal(2, bos.Result!.Windows);
        Assert.NotEqual(windows.Result.Perplexity, bos.Result.Perplexity);
        Assert.True(bos.Seconds > windows.Seconds && windows.Seconds > text.Seconds && text.Seconds > first.Seconds, "the time of all sessions is summed up");
        // What is written is what was said, for people too, and nothing was quantized again.
        Assert.Equal(Serialized(bos), File.ReadAllText(Path.Combine(Output, RunFolder.ReportName)));
        Assert.Contains($"Measured on {OtherText}, 2 windows", File.ReadAllText(Path.Combine(Output, "report.md")), StringComparison.Ordinal);
        Assert.Equal(tensors, Lrq.Hashes(Output, name => name.EndsWith("safetensors", StringComparison.Ordinal)));
        Assert.Equal(first.OutputHash, bos.OutputHash);
        // The same again changes nothing, and the text of the same contents elsewhere is the same.
        SortedDictionary<string, string> before = Lrq.Hashes(Output, name => Path.GetFileName(name) != "run.log");
        string copy = _folder.File("copy.txt");
        File.Copy(OtherText, copy);
        Assert.Equal(Serialized(bos), Serialized(await Run("--bits", "4", "--eval-text", copy, "--eval-windows", "2", "--add-bos", "yes")));
        Assert.Equal(before, Lrq.Hashes(Output, name => Path.GetFileName(name) != "run.log"));
        // A text that cannot be measured on leaves the report as it was.
        CliResult missing = await Lrq.Run([.. Lrq.Rounding(Output, "--bits", "4"), "--eval-text", _folder.File("none.txt")]);
        Assert.Equal(1, missing.Code);
        Assert.Contains("none.txt' is not a file", missing.Error, StringComparison.Ordinal);
        Assert.Equal(before, Lrq.Hashes(Output, name => Path.GetFileName(name) != "run.log"));
    }

    [Fact]
    public async Task ATouchedResultIsNotMeasuredAsTheRunsOwn()
    {
        await Run("--bits", "4");
        string tensors = Path.Combine(Output, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(tensors);
        bytes[^1] ^= 1;
        File.WriteAllBytes(tensors, bytes);
        CliResult refused = await Lrq.Run(Lrq.Rounding(Output, "--bits", "4", "--eval-text", OtherText));
        Assert.Equal(2, refused.Code);
        Assert.Contains("its tensors are not those of report.json any more", refused.Error, StringComparison.Ordinal);
    }

    // The linears on the grid of the run without branches, or where the result stores more, on the nearest that takes as many bits: exactly the file that rtn itself writes.
    [Theory]
    [InlineData("flrq", "--bits", "2", "--group-size", "64", "--epochs", "1")]
    [InlineData("flrq+", "--target-bits", "2.9", "--group-size", "64", "--tune-steps", "0")]
    [InlineData("lrq", "--grid", "q4_k", "--iterations", "2")]
    [InlineData("rtn", "--bits", "3", "--start", "search", "--shard-size", "700K")]
    public async Task TheRowOfRoundToNearestHasItsOwnSizeAndBits(string method, params string[] grid)
    {
        string rounded = _folder.File("rounded");
        string[] learning = method == "rtn" ? SmallDemo.Measured : ["--samples", "8", "--held-out", "1", "--sequence-length", "64", .. SmallDemo.Texts];
        CliResult run = await Lrq.Run(["quantize", SmallDemo.Folder, "--method", method, .. grid, .. learning, "--eval-windows", "1", "--threads", "1", "--out", Output, "--json"]);
        Assert.True(run.Code == 0, run.Error);
        RunReport report = JsonSerializer.Deserialize(run.Out, RunJson.Default.RunReport)!;
        bool more = method.StartsWith("flrq", StringComparison.Ordinal);
        Assert.Equal(more, report.RtnGrid is not null);
        if (more) Assert.Contains($"rtn, {report.RtnGrid} ", run.Error, StringComparison.Ordinal);
        // BITS bits gSIZE: TAKEN bits, or BITS bits per channel.
        string[] same = report.RtnGrid?.Split(' ', ':') is { } words
            ? ["--bits", words[0], "--group-size", words[2] == "per" ? "channel" : words[2][1..]] : [.. grid.TakeWhile(option => option is not ("--iterations" or "--start"))];
        string[] shards = method == "rtn" ? ["--shard-size", "700K"] : [];
        CliResult baseline = await Lrq.Run(SmallDemo.Instead(Lrq.Rounding(rounded, [.. same, .. shards, "--json", .. SmallDemo.Measured])));
        Assert.True(baseline.Code == 0, baseline.Error);
        RunReport expected = JsonSerializer.Deserialize(baseline.Out, RunJson.Default.RunReport)!;
        long onDisk = Directory.EnumerateFiles(rounded, "*.safetensors").Sum(file => new FileInfo(file).Length);
        Assert.Equal((onDisk, onDisk), (expected.ResultBytes, report.RtnBytes));
        Assert.Equal(expected.BitsPerWeight!.Value, report.Rtn!.BitsPerWeight!.Value, 1e-9);
        Assert.Equal(expected.ResultBitsPerParameter!.Value, report.Rtn.ModelBitsPerWeight!.Value, 1e-9);
        long all = Lrq.Hashes(Output, name => name.EndsWith(".safetensors", StringComparison.Ordinal) && !name.StartsWith(RunFolder.WorkName, StringComparison.Ordinal))
            .Keys.Sum(name => new FileInfo(Path.Combine(Output, name)).Length);
        Assert.Equal(all, report.ResultBytes);
        Assert.Equal(report.Result!.ModelBitsPerWeight, report.ResultBitsPerParameter);
        if (more) Assert.InRange(report.Rtn.BitsPerWeight.Value - report.CountedBitsPerWeight!.Value, 0, 0.5);
        string[] row = [.. File.ReadAllLines(Path.Combine(Output, "report.md")).Single(line => line.StartsWith(more ? $"| round to nearest, {report.RtnGrid} |" : "| round to nearest |", StringComparison.Ordinal)).Split('|').Select(cell => cell.Trim())];
        Assert.Equal(onDisk.ToString("N0", System.Globalization.CultureInfo.InvariantCulture), row[6]);
    }

    [Fact]
    public async Task TheOtherFormOfAnAdapterIsNamedWithWhatWritesIt()
    {
        string[] command = ["quantize", "demo", "--method", "svd", "--bits", "3", "--rank", "2", "--samples", "4", "--held-out", "1", "--sequence-length", "32", "--eval-windows", "1", "--threads", "1", "--out", Output];
        Assert.Equal(0, (await Lrq.Run(command)).Code);
        Assert.Equal(0, (await Lrq.Run([.. command, "--adapter-form", "lrq"])).Code);
        CliResult refused = await Lrq.Run([.. command, "--adapter-form", "padded"]);
        Assert.Equal(2, refused.Code);
        string padded = _folder.File("padded");
        Assert.Contains($"'lrq export {Output} --to compressed-tensors --adapter peft-padded --out FOLDER' writes it", refused.Error, StringComparison.Ordinal);
        CliResult exported = await Lrq.Run("export", Output, "--to", "compressed-tensors", "--adapter", "peft-padded", "--out", padded);
        Assert.True(exported.Code == 0, exported.Error);
    }

    [Fact]
    public async Task TimeAndMemoryAreThoseOfAllSessions()
    {
        string effort = Path.Combine(Output, RunFolder.WorkName, "effort.json");
        Assert.Equal(0, (await Lrq.Run([.. Lrq.SmallRun(Output), "--blocks", "2"])).Code);
        RunEffort one = JsonSerializer.Deserialize(File.ReadAllText(effort), PipelineJson.Default.RunEffort)!;
        Assert.True(one is { Seconds: > 0, PeakMemoryBytes: > 1 << 20 });
        // As if the first session had needed a large machine.
        File.WriteAllText(effort, JsonSerializer.Serialize(new RunEffort(5000, 1L << 45), PipelineJson.Default.RunEffort));
        CliResult rest = await Lrq.Run([.. Lrq.SmallRun(Output), "--json"]);
        Assert.True(rest.Code == 0, rest.Error);
        RunReport report = JsonSerializer.Deserialize(rest.Out, RunJson.Default.RunReport)!;
        Assert.InRange(report.Seconds, 5000.001, 5600);
        Assert.Equal(1L << 45, report.PeakMemoryBytes);
        Assert.False(File.Exists(effort));
    }

    [Theory]
    [InlineData("report.json", "{", "report.json is damaged at line 1, column 2", "'lrq eval")]
    [InlineData("report.json", "{}", "report.json lacks what this version of lrq looks for", "delete the folder")]
    [InlineData("report.json", "null", "report.json holds nothing", "choose another --out")]
    [InlineData("blocks/block-00001.json", "{\"index\":", "block-00001.json is damaged at line 1", "to compute the block again")]
    [InlineData("blocks/block-00001.safetensors", "xxxxxxxxxxxx", "block-00001.safetensors", "to compute the block again")]
    public async Task ADamagedFileOfARunIsNamedWithTheRemedy(string file, string contents, params string[] expected)
    {
        bool finished = file == "report.json";
        string[] command = finished ? Lrq.Rounding(Output) : Lrq.SmallRun(Output);
        Assert.Equal(0, (await Lrq.Run(finished ? command : [.. command, "--blocks", "2"])).Code);
        File.WriteAllText(finished ? Path.Combine(Output, file) : Path.Combine(Output, RunFolder.WorkName, file), contents);
        CliResult result = await Lrq.Run(command);
        Assert.Equal(1, result.Code);
        string line = Assert.Single(DemoRunTests.Lines(result.Error));
        Assert.All(expected, word => Assert.Contains(word, line, StringComparison.Ordinal));
        Assert.DoesNotContain("defect", line, StringComparison.Ordinal);
        Assert.DoesNotContain("LineNumber", line, StringComparison.Ordinal);
    }

    private static string Serialized(RunReport report) => JsonSerializer.Serialize(report, RunJson.Default.RunReport);

    private async Task<RunReport> Run(params string[] options)
    {
        string[] windows = options.Contains("--eval-windows") ? [] : ["--eval-windows", "1"];
        CliResult run = await Lrq.Run(["quantize", "demo", "--method", "rtn", "--threads", "1", "--out", Output, "--json", .. windows, .. options]);
        Assert.True(run.Code == 0, run.Error);
        return JsonSerializer.Deserialize(run.Out, RunJson.Default.RunReport)!;
    }
}
