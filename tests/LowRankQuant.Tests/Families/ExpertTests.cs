using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Families;

/// <summary>Experts in a run: how many tokens reached each, what happens below the floor, and that nothing is NaN where no token came.</summary>
public sealed class ExpertTests : IDisposable
{
    private const int Tokens = 24;
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("flrq", 4, 1 << 20)]
    [InlineData("flrq+", 1, 8)]
    [InlineData("lrq", 1, 0)]
    public async Task ExpertsWithFewTokensAreNamedAndQuantized(string method, int samples, int floor)
    {
        string source = _folder.File("source"), ids = _folder.File("ids.jsonl"), output = _folder.File("out");
        FamilyModels.Write("models/qwen3_moe", source);
        File.WriteAllLines(ids, Enumerable.Range(0, 8).Select(row => $"[{string.Join(", ", Enumerable.Range(0, Tokens).Select(i => ((row * 31) + (i * i)) % 11))}]"));
        string[] options = method == "lrq" ? ["--iterations", "3", "--batch", "1"] : ["--expert-floor", $"{floor}", "--group-size", "64", "--rank", "4"];
        if (method == "flrq") options = options[..^2];
        CliResult run = await Lrq.Run([
            "quantize", source, "--method", method, "--bits", "3", "--calibration", ids, "--calibration-format", "ids", "--samples", $"{samples}",
            "--held-out", "1", "--sequence-length", $"{Tokens}", "--threads", "1", "--out", output, .. options,
        ]);
        Assert.True(run.Code == 0, run.Error);
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!;
        JsonArray blocks = report["blocks"]!.AsArray();
        foreach (JsonNode? block in blocks)
        {
            long[] tokens = [.. block!["expertTokens"]![0]!.AsArray().Select(count => (long)count!)];
            Assert.Equal(8, tokens.Length);
            Assert.Equal(2L * Tokens * (samples + 1), tokens.Sum());
            int named = block["warnings"]!.AsArray().Count(warning => ((string)warning!).Contains("calibration tokens reached the expert", StringComparison.Ordinal));
            if (method == "flrq") Assert.Equal(16, named);
            if (method == "flrq+") Assert.InRange(named, 1, 16);
        }
        using ICheckpoint result = CheckpointOpener.Open(output), original = CheckpointOpener.Open(source);
        foreach ((string module, int outFeatures, int inFeatures) in result.Layout.Modules)
        {
            QuantizedWeight weight = result.ReadQuantized($"{module}.weight")!;
            float[] values = new float[outFeatures * inFeatures], expected = new float[values.Length];
            weight.Reconstruct(values);
            original.Read($"{module}.weight", expected);
            Assert.True(values.All(float.IsFinite), module);
            double difference = values.Zip(expected, (a, b) => Math.Pow(a - b, 2)).Sum(), norm = expected.Sum(value => Math.Pow(value, 2));
            Assert.True(difference < 0.3 * norm, $"{module}: {Math.Sqrt(difference / norm)}");
        }
    }

    public void Dispose() => _folder.Dispose();
}
