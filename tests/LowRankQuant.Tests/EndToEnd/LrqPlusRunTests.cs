using System.Text.Json.Nodes;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>lrq+ on the demo's first blocks: every option is in the recipe and does something, threads change nothing, what cannot be is refused.</summary>
public sealed class LrqPlusRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("offsets", "--offsets false")]
    [InlineData("scales", "--scales none")]
    [InlineData("scales", "--scales low-rank --rank 8")]
    [InlineData("zero_points", "--zero-points true")]
    [InlineData("codes", "--codes gptq")]
    [InlineData("codes", "--codes flrq+")]
    [InlineData("harden", "--harden false")]
    [InlineData("quantized_inputs", "--quantized-inputs false")]
    [InlineData("loss", "--loss fisher")]
    public async Task EveryOptionIsWired(string key, string options)
    {
        string usual = _folder.File("usual"), other = _folder.File("other");
        // A zero point moves by whole codes: ten steps of the usual rate do not get there.
        string[] both = key == "zero_points" ? [.. Untuned, "--learning-rate", "0.05"] : Untuned;
        CliResult first = await Lrq.Run([.. Run(usual), .. both]), second = await Lrq.Run([.. Run(other), .. both, .. options.Split(' ')]);
        Assert.True(first.Code == 0, first.Error);
        Assert.True(second.Code == 0, second.Error);
        Assert.NotEqual(Lrq.Hashes(usual, name => name.EndsWith(".safetensors", StringComparison.Ordinal)), Lrq.Hashes(other, name => name.EndsWith(".safetensors", StringComparison.Ordinal)));
        Assert.NotEqual(Stage(usual)[key]?.ToJsonString(), Stage(other)[key]!.ToJsonString());
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(other, "report.json")))!;
        // On so few tokens the compensation of another method fits noise.
        if (key != "codes") Assert.True((double)report["result"]!["klDivergence"]! < (double)report["rtn"]!["klDivergence"]!, report["result"]!.ToJsonString());
        // The same again from its own recipe.
        string again = _folder.File("again");
        Assert.Equal(0, (await Lrq.Run(["quantize", SmallDemo.Folder, "--recipe", other, "--threads", "1", "--out", again, .. SmallDemo.Texts])).Code);
        Assert.Equal(Lrq.Hashes(other, name => name.EndsWith(".safetensors", StringComparison.Ordinal)), Lrq.Hashes(again, name => name.EndsWith(".safetensors", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task ThreadsChangeNoByte()
    {
        string one = _folder.File("one"), two = _folder.File("two");
        string[] all = ["--scales", "low-rank", "--rank", "8", "--codes", "gptq", "--loss", "fisher", "--zero-points", "true", "--tune-steps", "4", "--tune-code-rate", "0.05"];
        CliResult run = await Lrq.Run([.. Run(one), .. all]);
        Assert.True(run.Code == 0, run.Error);
        Assert.Equal(0, (await Lrq.Run([.. Run(two, threads: 2), .. all])).Code);
        Assert.Equal(Lrq.Bytes(one), Lrq.Bytes(two));
    }

    [Theory]
    [InlineData("--offsets false --scales none", "--scales none and --offsets false leave nothing but steps to learn")]
    [InlineData("--rank 8", "--rank is a matter of --scales low-rank")]
    [InlineData("--codes gptq --start minmax", "--start is found by the method that --codes names")]
    [InlineData("--tune-code-rate 0.1 --tune-steps 0", "--tune-code-rate needs --tune-steps")]
    [InlineData("--tune-steps 2 --tune-code-rate -1", "--tune-code-rate -1: must be 0")]
    [InlineData("--symmetric true --zero-points true", "--zero-points true: w3 symmetric channel stores no zero point per group")]
    public async Task WhatCannotBeIsRefused(string options, string expected)
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run([.. Run(output), .. options.Split(' ')]);
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    /// <summary>A grid of floats has no steps: what is measured in them is left out by itself, and refused where somebody asks.</summary>
    [Theory]
    [InlineData("", null)]
    [InlineData("--offsets true", "--offsets true: they are in steps, which the floats of nvfp4 do not have")]
    [InlineData("--harden true", "--harden true: its ramps are in steps")]
    [InlineData("--zero-points true", "--zero-points true: nvfp4 stores no zero point per group")]
    [InlineData("--scales none", "leave nothing but steps to learn")]
    public async Task GridsOfFloatsAreLearnedByScalesAlone(string options, string? expected)
    {
        string output = _folder.File("out");
        string[] run = [.. Run(output).Where((_, i) => i is not (4 or 5)), "--grid", "nvfp4", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        CliResult result = await Lrq.Run(run);
        if (expected is not null)
        {
            Assert.Equal(2, result.Code);
            Assert.Contains(expected, result.Error, StringComparison.Ordinal);
            return;
        }
        Assert.True(result.Code == 0, result.Error);
        Assert.Equal(("false", "false"), (Stage(output)["offsets"]!.ToJsonString(), Stage(output)["harden"]!.ToJsonString()));
    }

    [Theory]
    [InlineData("--loss fisher")]
    [InlineData("--codes gptq")]
    [InlineData("--quantized-inputs false")]
    public async Task PlansAreMade(string options)
    {
        CliResult plan = await Lrq.Run([.. Run(_folder.File("out")).Select((word, i) => i == 0 ? "plan" : word), .. options.Split(' ')]);
        Assert.True(plan.Code == 0, plan.Error);
        Assert.Contains("tuning the whole model", plan.Out, StringComparison.Ordinal);
    }

    private static readonly string[] Untuned = ["--tune-steps", "0"];

    private static string[] Run(string output, int threads = 1) =>
    [
        "quantize", SmallDemo.Folder, "--method", "lrq+", "--bits", "3", "--iterations", "10", "--samples", "8", "--held-out", "2", "--sequence-length", "64", "--eval-windows", "2",
        "--threads", $"{threads}", "--out", output, .. SmallDemo.Texts,
    ];

    private static JsonNode Stage(string output) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(output, "recipe.json")))!["stages"]!.AsArray().Select(stage => stage!["lrq+"]).First(stage => stage is not null)!;
}
