using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Families;

/// <summary>Schemes with quantized activations and caches on every family: the run, its folder read back and measured as its files say, and the rules of engines.</summary>
public abstract class EveryFamilySchemeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>Every second case, so that two classes run side by side.</summary>
    protected static TheoryData<string> Half(int first) => [.. FamilyModels.Cases.Where((_, i) => i % 2 == first)];

    protected async Task QuantizeBySchemes(string name)
    {
        string source = _folder.File("source"), ids = _folder.File("ids.jsonl");
        FamilyModels.Write(name, source);
        File.WriteAllLines(ids, Enumerable.Range(0, 8).Select(row => $"[{string.Join(", ", Enumerable.Range(0, 24).Select(i => ((row * 131) + (i * i * 7)) % FamilyModels.Vocabulary))}]"));
        string[] calibrated = ["--calibration", ids, "--calibration-format", "ids", "--samples", "4", "--held-out", "2", "--sequence-length", "24", "--threads", "1"];
        string[] others = ["w8a8-dynamic --method lrq --iterations 2 --rank 8", "w4a8 --method flexround --iterations 2"];
        // Halves stand in two classes: the next number but one is the class's next.
        int number = Array.IndexOf(FamilyModels.Cases, name) / 2;
        foreach (string options in others.Where((_, i) => FamilyModels.EveryPair || (number + i) % 2 == 0).Prepend("w8a8 --method rtn"))
        {
            string scheme = options.Split(' ')[0], output = _folder.File(scheme);
            CliResult run = await Lrq.Run(["quantize", source, "--scheme", .. options.Split(' '), .. calibrated, "--out", output]);
            Assert.True(run.Code == 0, $"{name}, {scheme}: {run.Error}");
            await Check(source, output, looks: true, $"{name}, {scheme}");
        }
        await Rotate(name, source, calibrated);
    }

    /// <summary>Rotations of the stream, where norms stand alone in front of it; elsewhere a message that says what is in the way, and nothing is written.</summary>
    private async Task Rotate(string name, string source, string[] calibrated)
    {
        string output = _folder.File("w4a4");
        string? obstacle;
        using (var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 }))
        using (var model = new CausalModel(CheckpointOpener.Open(source), device)) obstacle = model.StreamRotationObstacle();
        CliResult run = await Lrq.Run(["quantize", source, "--scheme", "w4a4", "--method", "rtn", .. calibrated, "--out", output]);
        if (obstacle is null)
        {
            Assert.True(run.Code == 0, $"{name}, w4a4: {run.Error}");
            await Check(source, output, looks: false, $"{name}, w4a4");
            return;
        }
        Assert.Equal(1, run.Code);
        string line = Assert.Single(DemoRunTests.Lines(run.Error), line => line.StartsWith("error", StringComparison.Ordinal));
        Assert.Contains($"the residual stream cannot be rotated without changing the model: {obstacle}. Rotate the values alone", line, StringComparison.Ordinal);
        Assert.DoesNotContain("defect", line, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
        CliResult plan = await Lrq.Run("plan", source, "--scheme", "w4a4", "--method", "rtn", "--untimed");
        Assert.Equal(2, plan.Code);
        Assert.Contains(obstacle, plan.Error, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }

    // A run that looks at no text knows no errors of inputs.
    private static async Task Check(string source, string output, bool looks, string what)
    {
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!, stored = (report["asStored"] ?? report["result"])!;
        Assert.All(report["blocks"]!.AsArray(), block => Assert.Equal(looks, block!["activations"]!.AsArray().Count > 0));
        CliResult eval = await Lrq.Run("eval", output, "--reference", source, "--ids", Path.Combine(output, "heldout.ids.jsonl"), "--products", "float", "--threads", "1", "--json");
        Assert.True(eval.Code == 0, $"{what}: {eval.Error}");
        JsonNode measured = JsonNode.Parse(eval.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1])!;
        // Some of the models are so sure of one token that their divergence is nothing but rounding.
        foreach (string figure in new[] { "negativeLogLikelihood", "klDivergence" })
        {
            double expected = (double)stored[figure]!, actual = (double)measured[figure]!;
            Assert.True(Math.Abs(expected - actual) <= (1e-6 * Math.Abs(expected)) + 1e-12, $"{what}: {figure} {actual} of the folder, {expected} in the report");
        }
        CliResult verified = await Lrq.Run("verify", output);
        Assert.True(verified.Code == 0, $"{what}: {verified.Out}{verified.Error}");
    }
}

/// <summary>The first, third and so on.</summary>
public sealed class EveryFamilySchemeOddTests : EveryFamilySchemeTests
{
    public static TheoryData<string> Cases => Half(0);

    [Theory]
    [MemberData(nameof(Cases))]
    public Task SchemesQuantizeEveryFamily(string name) => QuantizeBySchemes(name);
}

/// <summary>The second, fourth and so on.</summary>
public sealed class EveryFamilySchemeEvenTests : EveryFamilySchemeTests
{
    public static TheoryData<string> Cases => Half(1);

    [Theory]
    [MemberData(nameof(Cases))]
    public Task SchemesQuantizeEveryFamily(string name) => QuantizeBySchemes(name);
}
