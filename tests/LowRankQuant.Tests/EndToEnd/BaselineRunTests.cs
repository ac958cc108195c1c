using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs of <c>gptq</c>, <c>awq</c> and <c>autoround</c> on the demo: better than round to nearest on their grid, the same for any number of threads, resumable, made again from the recipe.</summary>
public sealed class BaselineRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("gptq --bits 3", 0.7)]
    [InlineData("autoround --bits 2 --group-size 32 --iterations 40", 0.75)]
    [InlineData("autoround --bits 3 --symmetric true --iterations 40 --preset paper", 0.9)]
    [InlineData("gptq --bits 3 --group-size 32 --static-groups false", 0.75)]
    [InlineData("gptq --bits 3 --symmetric true --act-order false --true-sequential false", 0.8)]
    [InlineData("gptq --bits 3 --gptaq 0.25", 0.7)]
    [InlineData("gptq --bits 3 --start search --damping auto", 0.5)]
    [InlineData("gptq --grid q3_k", 0.85)]
    [InlineData("awq --bits 3 --group-size 32 --n-grid 8", 1)]
    [InlineData("awq --bits 3 --group-size 32 --n-grid 4 --duo-scaling false --scale-sites norms --clip false", 1)]
    public async Task FewerErrorsThanRoundToNearest(string options, double part)
    {
        // So few tokens that a run takes seconds are too few for the second moments of 768 inputs.
        JsonNode report = await Run("out", 1, [.. options.Split(' '), "--samples", "32", "--sequence-length", "256", "--held-out", "2"]);
        double result = (double)report["result"]!["klDivergence"]!, nearest = (double)report["rtn"]!["klDivergence"]!;
        TestContext.Current.TestOutputHelper?.WriteLine($"{options}: KL {result:F4}, rounded to nearest {nearest:F4}");
        Assert.True(result < part * nearest, $"{options}: KL {result} where round to nearest has {nearest}");
    }

    [Theory]
    [InlineData("gptq", "--bits", "3", "--group-size", "32", "--gptaq", "0.25")]
    [InlineData("awq", "--bits", "3", "--group-size", "32", "--n-grid", "4")]
    [InlineData("autoround", "--bits", "3", "--symmetric", "true", "--iterations", "6", "--tune-steps", "2")]
    public async Task ThreadsAndStoppingChangeNoByte(params string[] options)
    {
        string one = _folder.File("one"), two = _folder.File("two");
        await Run("one", 1, options);
        using (var run = new LrqProcess(Line(two, 1, options)))
        {
            if (run.WaitUntil(() => File.Exists(Path.Combine(two, RunFolder.WorkName, "blocks", "block-00001.safetensors")))) run.Kill();
        }
        await Run("two", 2, options);
        Assert.Equal(Lrq.Bytes(one), Lrq.Bytes(two));
        CliResult again = await Lrq.Run("quantize", "demo", "--recipe", one, "--eval-windows", "1", "--threads", "1", "--out", _folder.File("again"));
        Assert.True(again.Code == 0, again.Error);
        Assert.Equal(Tensors(one), Tensors(_folder.File("again")));

        static SortedDictionary<string, string> Tensors(string folder) => Lrq.Hashes(folder, name => name.EndsWith("model.safetensors", StringComparison.Ordinal) && !name.Contains(RunFolder.WorkName, StringComparison.Ordinal));
    }

    [Fact]
    public async Task AwqNamesWhatItScaledAndChangesNormsOfItsBlocksAlone()
    {
        JsonNode report = await Run("out", 1, ["awq", "--bits", "4", "--group-size", "32", "--n-grid", "4", "--scale-sites", "ungrouped"]);
        string scaled = (string)report["blocks"]![0]!["transforms"]![0]!;
        Assert.StartsWith("awq scales: input_layernorm (ratio ", scaled, StringComparison.Ordinal);
        Assert.NotEqual(Norm(TestData.Demo, 0), Norm(_folder.File("out"), 0));
        // One block of a run of another method: the others keep their norms.
        CliResult redone = await Lrq.Run([.. Line(_folder.File("mixed"), 1, ["gptq", "--bits", "4", "--group-size", "32"])]);
        Assert.True(redone.Code == 0, redone.Error);
        redone = await Lrq.Run("quantize", "demo", "--redo-blocks", "1", "--method", "awq", "--n-grid", "4", "--eval-windows", "1", "--threads", "1", "--out", _folder.File("mixed"));
        Assert.True(redone.Code == 0, redone.Error);
        Assert.Equal(Norm(TestData.Demo, 0), Norm(_folder.File("mixed"), 0));
        Assert.NotEqual(Norm(TestData.Demo, 1), Norm(_folder.File("mixed"), 1));
        Assert.Equal(Norm(TestData.Demo, 2), Norm(_folder.File("mixed"), 2));
    }

    [Theory]
    [InlineData("gptq --scheme w8a8-dynamic")]
    [InlineData("autoround --scheme w8a8 --iterations 3")]
    [InlineData("awq --scheme w4a8 --n-grid 4")]
    public async Task SchemesAndTransformsGoWithThem(string options)
    {
        JsonNode report = await Run("out", 1, options.Split(' '));
        Assert.True((double)report["result"]!["klDivergence"]! < 1, options);
    }

    [Theory]
    [InlineData("gptq --bits 4 --group-size 64", "gptq")]
    [InlineData("autoround --bits 4 --group-size 64 --symmetric true --iterations 3", "gptq")]
    [InlineData("autoround --bits 4 --group-size 32 --symmetric true --iterations 3 --scale-dtype fp16", "gguf")]
    [InlineData("awq --bits 4 --group-size 64 --n-grid 4 --scale-dtype fp16", "awq")]
    public async Task ResultsGoIntoContainersOfTheirNames(string options, string container)
    {
        await Run("out", 1, options.Split(' '));
        string exported = _folder.File(container == "gguf" ? "exported.gguf" : "exported");
        CliResult run = await Lrq.Run("export", _folder.File("out"), "--to", container, "--out", exported);
        Assert.True(run.Code == 0, run.Error);
        CliResult verified = await Lrq.Run("verify", exported, "--against", _folder.File("out"));
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
    }

    private async Task<JsonNode> Run(string name, int threads, string[] options)
    {
        CliResult run = await Lrq.Run(Line(_folder.File(name), threads, options));
        Assert.True(run.Code == 0, run.Error);
        return JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.File(name), "report.json")))!;
    }

    private static string[] Line(string output, int threads, string[] options) =>
    [
        "quantize", "demo", "--method", .. options, .. options.Contains("--samples") ? Array.Empty<string>() : ["--samples", "12", "--held-out", "2", "--sequence-length", "96"],
        "--eval-windows", "1", "--threads", $"{threads}", "--out", output,
    ];

    private static float[] Norm(string folder, int block)
    {
        using ICheckpoint checkpoint = CheckpointOpener.Open(folder);
        string name = $"model.layers.{block}.input_layernorm.weight";
        var values = new float[checkpoint.ShapeOf(name)[0]];
        checkpoint.Read(name, values);
        return values;
    }
}
