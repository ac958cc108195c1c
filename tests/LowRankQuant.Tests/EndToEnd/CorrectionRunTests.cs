using System.Text.Json;
using System.Xml.Linq;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>FLRQ, flrq+ and <c>lrq correct</c> on the demo: base and adapter, read back together; resume; threads.</summary>
public sealed class CorrectionRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("flrq", "--bits", "2", "--epochs", "1")]
    [InlineData("flrq+", "--target-bits", "2.8", "--tune-steps", "4")]
    [InlineData("qera-exact", "--bits", "2", "--rank", "4", "--adapter-form", "padded", "--damping", "auto")]
    [InlineData("flrq", "--bits", "2", "--epochs", "0", "--sketch", "block", "--residual", "lrq", "--iterations", "6", "--residual-rank", "8")]
    public async Task BaseAndBranchAreReadBackTogether(string method, params string[] more)
    {
        string output = _folder.File(method);
        CliResult run = await Lrq.Run([.. Small(method, output), .. more, "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument report = JsonDocument.Parse(run.Out);
        JsonElement result = report.RootElement.GetProperty("result");
        double bits = report.RootElement.GetProperty("bitsPerWeight").GetDouble(), layers = LayerBits(report.RootElement);
        Assert.Equal(layers, bits, 1e-9);
        if (method == "flrq+") Assert.InRange(bits, 2.6, 2.8);
        if (more.Contains("--tune-steps"))
        {
            JsonElement tuning = report.RootElement.GetProperty("tuning");
            Assert.True(tuning.GetProperty("after").GetDouble() < tuning.GetProperty("before").GetDouble(), $"tuning: {tuning}");
            Assert.Contains("## Tuning of the whole model", File.ReadAllText(Path.Combine(output, "report.md")), StringComparison.Ordinal);
        }
        if (more.Contains("auto")) Assert.All(Layers(report.RootElement), layer => Assert.Contains(layer.GetProperty("damping").GetDouble(), new[] { 0.03, 0.1, 0.3, 1 }));
        string expected = more.Contains("padded") ? "adapter_config.json adapter_model.safetensors" : "branches.safetensors";
        Assert.Equal(expected, string.Join(' ', Directory.GetFiles(Path.Combine(output, "adapter")).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)));
        XDocument.Load(Path.Combine(output, "layers.svg"));
        CliResult measured = await Lrq.Run("eval", output, "--reference", "demo", "--text", Path.Combine(TestData.Demo, "evaluation.txt"), "--windows", "1", "--threads", "1", "--json");
        Assert.True(measured.Code == 0, measured.Error);
        using JsonDocument figures = JsonDocument.Parse(measured.Out);
        Assert.Equal(result.GetProperty("perplexity").GetDouble(), figures.RootElement.GetProperty("perplexity").GetDouble(), 1e-6);
        Assert.Equal(bits, figures.RootElement.GetProperty("bitsPerWeight").GetDouble(), 1e-9);
        // Few tokens and small ranks: closer than the same codes rounded to nearest, not always than a grid of as many bits, which the report has beside it.
        CliResult rounded = await Lrq.Run(Lrq.Rounding(_folder.File("rounded"), "--bits", "2", "--group-size", "64", "--json"));
        Assert.True(rounded.Code == 0, rounded.Error);
        using JsonDocument nearest = JsonDocument.Parse(rounded.Out);
        Assert.True(result.GetProperty("klDivergence").GetDouble() < nearest.RootElement.GetProperty("result").GetProperty("klDivergence").GetDouble());
        Assert.True(report.RootElement.GetProperty("rtn").GetProperty("bitsPerWeight").GetDouble() >= report.RootElement.GetProperty("countedBitsPerWeight").GetDouble());
        await CheckGrids(output, report.RootElement, bits);
    }

    /// <summary><c>inspect</c> counts the layers of every code width, and their bits come to the report's.</summary>
    private static async Task CheckGrids(string output, JsonElement report, double bits)
    {
        CliResult inspected = await Lrq.Run("inspect", output, "--json");
        Assert.True(inspected.Code == 0, inspected.Error);
        using JsonDocument facts = JsonDocument.Parse(inspected.Out);
        JsonElement[] grids = [.. facts.RootElement.GetProperty("grids").EnumerateArray()];
        int[] expected = [.. Layers(report).GroupBy(layer => layer.GetProperty("bits").GetInt32()).Select(layers => layers.Count()).Order()];
        Assert.Equal(expected, grids.Select(grid => grid.GetProperty("linears").GetInt32()).Order());
        Assert.Equal(bits, grids.Sum(grid => grid.GetProperty("storedBits").GetDouble()) / grids.Sum(grid => grid.GetProperty("weights").GetDouble()), 1e-9);
        string scheme = facts.RootElement.GetProperty("scheme").GetString()!;
        Assert.All(grids, grid => Assert.Contains(grid.GetProperty("description").GetString()!, scheme, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("flrq", "--bits", "3", "--epochs", "1")]
    [InlineData("flrq+", "--target-bits", "2.8", "--tune-steps", "3")]
    [InlineData("svd", "--bits", "3", "--rank", "2", "--residual", "lrq", "--train-branch", "true", "--iterations", "6", "--residual-rank", "8")]
    public async Task AnInterruptedRunAndOtherThreadsGiveTheSameBytes(string method, params string[] more)
    {
        string whole = _folder.File("whole"), parts = _folder.File("parts");
        Assert.Equal(0, (await Lrq.Run([.. Small(method, whole), .. more])).Code);
        Assert.Equal(0, (await Lrq.Run([.. Small(method, parts), .. more, "--blocks", "2"])).Code);
        string[] rest = [.. Small(method, parts), .. more];
        rest[Array.IndexOf(rest, "--threads") + 1] = "2";
        CliResult finished = await Lrq.Run(rest);
        Assert.True(finished.Code == 0, finished.Error);
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(parts));
    }

    [Fact]
    public async Task AForeignModelIsCorrected()
    {
        string rounded = _folder.File("rtn"), adapter = _folder.File("adapter");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(rounded, "--bits", "2", "--group-size", "64"))).Code);
        CliResult run = await Lrq.Run([.. Correcting(rounded, adapter), "--target-bits", "2.6"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument report = JsonDocument.Parse(run.Out);
        Assert.InRange(report.RootElement.GetProperty("countedBitsPerWeight").GetDouble(), 2.5, 2.6);
        double before = await Divergence(rounded), after = await Divergence(rounded, "--adapter", adapter);
        Assert.True(after < 0.9 * before, $"KL {before} -> {after}");
        CliResult tooSmall = await Lrq.Run([.. Correcting(rounded, _folder.File("none")), "--target-bits", "2.1"]);
        Assert.Equal(2, tooSmall.Code);
        Assert.Contains("the quantized model alone takes", tooSmall.Error);
    }

    [Fact]
    public async Task AGgufFileIsCorrected()
    {
        string quantized = _folder.File("demo-q4_0.gguf"), adapter = _folder.File("adapter"), ids = _folder.File("ids.jsonl");
        DemoGguf.Write(quantized);
        CliResult run = await Lrq.Run([.. Correcting(quantized, adapter), "--target-bits", "4.8"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument report = JsonDocument.Parse(run.Out);
        Assert.Equal(4.5, report.RootElement.GetProperty("baseBitsPerWeight").GetDouble(), 1e-9);
        Assert.InRange(report.RootElement.GetProperty("countedBitsPerWeight").GetDouble(), 4.7, 4.8);
        File.WriteAllText(ids, $"[{string.Join(',', Enumerable.Range(0, 128).Select(i => (i * 37) % 2048))}]\n");
        double before = await Divergence(quantized, "--ids", ids), after = await Divergence(quantized, "--ids", ids, "--adapter", adapter);
        Assert.True(after < 0.9 * before, $"KL {before} -> {after}");
    }

    [Fact]
    public async Task AKilledCorrectionGoesOnToTheSameBytes()
    {
        string rounded = _folder.File("rtn"), whole = _folder.File("whole"), killed = _folder.File("killed");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(rounded, "--bits", "2", "--group-size", "64"))).Code);
        Assert.Equal(0, (await Lrq.Run([.. Correcting(rounded, whole), "--target-bits", "2.6"])).Code);
        using (var run = new LrqProcess([.. Correcting(rounded, killed), "--target-bits", "2.6"]))
        {
            Assert.True(run.WaitUntil(() => File.Exists(Path.Combine(killed, ".lrq", "blocks", "block-00001.safetensors"))), "the run ended before it could be killed");
            run.Kill();
        }
        CliResult other = await Lrq.Run([.. Correcting(rounded, killed), "--target-bits", "2.7"]);
        Assert.NotEqual(0, other.Code);
        Assert.Contains("holds another run (other options)", other.Error);
        CliResult rest = await Lrq.Run([.. Correcting(rounded, killed), "--target-bits", "2.6"]);
        Assert.True(rest.Code == 0, rest.Error);
        Assert.Contains("blocks were finished by an earlier session", rest.Error);
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(killed));
        CliResult again = await Lrq.Run([.. Correcting(rounded, killed), "--target-bits", "2.6"]);
        Assert.Contains("holds this run, finished", again.Error);
        // What is asked for now and is not what is there is refused by its name.
        CliResult padded = await Lrq.Run([.. Correcting(rounded, killed), "--target-bits", "2.6", "--adapter-form", "padded"]);
        Assert.Equal(2, padded.Code);
        Assert.Contains("another --format, --shard-size or --adapter-form", padded.Error);
        using JsonDocument report = JsonDocument.Parse(again.Out);
        long adapter = new FileInfo(Path.Combine(killed, "adapter_model.safetensors")).Length;
        Assert.InRange(report.RootElement.GetProperty("adapterBytes").GetInt64(), adapter - (32 << 10), adapter);
        Assert.Equal(new FileInfo(Path.Combine(rounded, "model.safetensors")).Length, report.RootElement.GetProperty("baseBytes").GetInt64());
        Assert.True(report.RootElement.GetProperty("peakMemoryBytes").GetInt64() > 1 << 20);
    }

    private static string[] Correcting(string quantized, string adapter) =>
    [
        "correct", quantized, "--reference", "demo", "--calibration", Path.Combine(TestData.Demo, "calibration.txt"), "--samples", "8",
        "--sequence-length", "64", "--threads", "1", "--out", adapter, "--json",
    ];

    private static async Task<double> Divergence(string model, params string[] more)
    {
        string[] text = more.Contains("--ids") ? [] : ["--text", Path.Combine(TestData.Demo, "evaluation.txt"), "--windows", "1"];
        CliResult run = await Lrq.Run(["eval", model, "--reference", "demo", "--threads", "1", "--json", .. text, .. more]);
        Assert.True(run.Code == 0, run.Error);
        return JsonDocument.Parse(run.Out).RootElement.GetProperty("klDivergence").GetDouble();
    }

    private static IEnumerable<JsonElement> Layers(JsonElement report) =>
        report.GetProperty("blocks").EnumerateArray().SelectMany(block => block.GetProperty("layers").EnumerateArray());

    private static double LayerBits(JsonElement report)
    {
        double bits = 0, weights = 0;
        foreach (JsonElement layer in Layers(report))
        {
            double count = layer.GetProperty("outFeatures").GetDouble() * layer.GetProperty("inFeatures").GetDouble();
            bits += layer.GetProperty("bitsPerWeight").GetDouble() * count;
            weights += count;
        }
        return bits / weights;
    }

    private static string[] Small(string method, string output) =>
    [
        "quantize", "demo", "--method", method, "--group-size", "64", "--samples", "8", "--held-out", "1", "--sequence-length", "64", "--eval-windows", "1",
        "--threads", "1", "--out", output,
    ];
}
