using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs that quantize activations and caches on the demo: threads, stopping and going on, rerunning from the recipe, and what the folder holds.</summary>
public sealed class SchemeRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("w8a8", "--inside", "true", "--learn-steps", "true")]
    [InlineData("w4a8")]
    [InlineData("w4a4")]
    public async Task ThreadsAndStoppingChangeNoByte(string scheme, params string[] options)
    {
        string one = _folder.File("one"), two = _folder.File("two");
        CliResult whole = await Lrq.Run(Run(scheme, one, 1, options));
        Assert.True(whole.Code == 0, whole.Error);
        // Stopped behind its second block, then with two threads to the end.
        using (var run = new LrqProcess(Run(scheme, two, 1, options)))
        {
            if (run.WaitUntil(() => File.Exists(Path.Combine(two, RunFolder.WorkName, "blocks", "block-00001.safetensors")))) run.Kill();
        }
        CliResult resumed = await Lrq.Run(Run(scheme, two, 2, options));
        Assert.True(resumed.Code == 0, resumed.Error);
        Assert.Equal(Lrq.Bytes(one), Lrq.Bytes(two));
    }

    [Fact]
    public async Task TheRecipeOfAResultMakesItAgain()
    {
        string first = _folder.File("first"), second = _folder.File("second");
        Assert.Equal(0, (await Lrq.Run(Run("w8a8", first, 1))).Code);
        CliResult again = await Lrq.Run("quantize", "demo", "--recipe", first, "--eval-windows", "1", "--threads", "1", "--out", second);
        Assert.True(again.Code == 0, again.Error);
        Assert.Equal(Lrq.Hashes(first, name => name.EndsWith("model.safetensors", StringComparison.Ordinal)), Lrq.Hashes(second, name => name.EndsWith("model.safetensors", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task TheFolderHoldsStepsAndChangedNorms()
    {
        string output = _folder.File("out");
        Assert.Equal(0, (await Lrq.Run(Run("w8a8", output, 1))).Code);
        JsonNode scheme = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "config.json")))!["quantization_config"]!;
        Assert.Equal("int-quantized", (string)scheme["format"]!);
        JsonNode inputs = scheme["config_groups"]!.AsObject().First().Value!["input_activations"]!;
        Assert.Equal((8, false, false, "tensor"), ((int)inputs["num_bits"]!, (bool)inputs["symmetric"]!, (bool)inputs["dynamic"]!, (string)inputs["strategy"]!));
        using ICheckpoint source = CheckpointOpener.Open(TestData.Demo), result = CheckpointOpener.Open(output);
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(output, "model.safetensors"));
        Assert.Equal([1], file.ShapeOf("model.layers.0.mlp.down_proj.input_scale"));
        const string norm = "model.layers.0.input_layernorm.weight";
        float[] before = new float[source.ShapeOf(norm)[0]], after = new float[before.Length];
        source.Read(norm, before);
        result.Read(norm, after);
        Assert.NotEqual(before, after);
    }

    [Fact]
    public async Task RoundToNearestBesideTheResultHasStepsThatNobodyLearned()
    {
        string learned = _folder.File("learned"), outside = _folder.File("outside");
        Assert.Equal(0, (await Lrq.Run(Run("w8a8", learned, 1))).Code);
        Assert.Equal(0, (await Lrq.Run(Run("w8a8", outside, 1, "--inside", "false"))).Code);
        Assert.Equal(Divergence(learned, "rtn"), Divergence(outside, "rtn"));
        Assert.NotEqual(Divergence(learned, "result"), Divergence(outside, "result"));

        static double Divergence(string output, string row) => (double)JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))![row]!["klDivergence"]!;
    }

    [Theory]
    [InlineData("--scheme w8a8 --format dense", "--format dense holds floats")]
    [InlineData("--scheme w9a8", "w9a8")]
    [InlineData("--scheme w8a8 --preset paper --inside true --step-rate 0.1", "--step-rate needs --learn-steps true")]
    [InlineData("--scheme w4a8 --learn-steps true", "--learn-steps needs static activations")]
    [InlineData("--scheme w8a8 --method flrq", "flrq")]
    [InlineData("--scheme w8a8 --bits 4", "--bits")]
    public async Task WhatDoesNotGoTogetherIsRefusedBeforeTheWork(string options, string expected)
    {
        string output = _folder.File("refused");
        CliResult run = await Lrq.Run(["quantize", "demo", "--eval-windows", "1", "--out", output, .. options.Split(' ')]);
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    private static string[] Run(string scheme, string output, int threads, params string[] options) =>
    [
        "quantize", "demo", "--scheme", scheme, "--method", "lrq", "--iterations", "5", "--samples", "8", "--held-out", "2", "--sequence-length", "64", "--rank", "16",
        "--eval-windows", "1", "--threads", $"{threads}", "--out", output, .. options,
    ];
}
