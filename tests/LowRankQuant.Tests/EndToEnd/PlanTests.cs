using System.Text.Json;
using System.Text.RegularExpressions;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.EndToEnd;

public sealed partial class PlanTests
{
    [Fact]
    public async Task APlanSaysWhatARunTakesAndGives()
    {
        CliResult result = await Lrq.Run("plan", "demo", "--method", "rtn", "--grid", "q4_k", "--target", "llama.cpp", "--threads", "1", "--json");
        Assert.True(result.Code == 0, result.Error);
        PlanReport plan = JsonSerializer.Deserialize(result.Out, RunJson.Default.PlanReport)!;
        Assert.True(plan.Works);
        Assert.Empty(plan.Problems);
        Assert.Equal("llama.cpp", plan.Target);
        Assert.All(plan.Layers, layer => Assert.Equal(("Q4_K", 4.5), (layer.Container, layer.TargetBitsPerWeight)));
        Assert.Equal((4.5, 4.5), (plan.BitsPerWeight!.Value, plan.TargetBitsPerWeight!.Value));
        Assert.True(plan is { BlockBytes: > 0, DiskBytes: > 0, BlockSeconds: > 0 } && plan.Seconds >= plan.BlockSeconds);
        using var folder = new TemporaryFolder();
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(folder.File("out"), "--grid", "q4_k"))).Code);
        long written = new FileInfo(folder.File("out/model.safetensors")).Length;
        // Our own container holds the six-bit integers as bytes.
        Assert.InRange(written, plan.ResultBytes!.Value, plan.ResultBytes.Value * 1.06);
    }

    [Fact]
    public async Task EverythingThatKeepsAPlanFromWorkingIsToldAtOnce()
    {
        CliResult result = await Lrq.Run(
            "plan", "demo", "--method", "lrq", "--grid", "q2_k", "--target", "vllm", "--memory", "1M", "--learning-rate", "-1", "--json", "--threads", "1");
        Assert.Equal(2, result.Code);
        PlanReport plan = JsonSerializer.Deserialize(result.Out, RunJson.Default.PlanReport)!;
        Assert.False(plan.Works);
        Assert.Null(plan.Seconds);
        foreach (string what in new[] { "`target` vllm cannot hold w2 asymmetric Q2_K", "memory budget is 1 MiB", "`learning_rate` -1" })
            Assert.Single(plan.Problems, problem => problem.Contains(what, StringComparison.Ordinal));
        Assert.Contains("--learning-rate -1", result.Error, StringComparison.Ordinal);
        Assert.Equal(3, result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }

    // What would stop the run at its end is a problem of its plan, and stops the run before its first block.
    [Theory]
    [InlineData("missing text", "none.txt' is not a file")]
    [InlineData("empty text", "")]
    [InlineData("no tokenizer", "tokenizer.json")]
    [InlineData("side file", "generation_config.json")]
    [InlineData("missing calibration", "none.txt' is not a file")]
    public async Task WhatWouldStopARunAtItsEndIsFoundFirst(string trouble, string message)
    {
        using var folder = new TemporaryFolder();
        string model = folder.File("model"), output = folder.File("out"), text = Path.Combine(TestData.Demo, "evaluation.txt"), empty = folder.File("empty.txt");
        Directory.CreateDirectory(model);
        foreach (string file in Directory.GetFiles(TestData.Demo)) File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        File.WriteAllText(empty, "");
        string[] options = trouble switch
        {
            "missing text" => ["--method", "rtn", "--eval-text", folder.File("none.txt")],
            "empty text" => ["--method", "rtn", "--eval-text", empty],
            "missing calibration" => ["--method", "lrq", "--calibration", folder.File("none.txt")],
            _ => ["--method", "rtn", "--eval-text", text],
        };
        if (trouble == "no tokenizer") File.Delete(Path.Combine(model, "tokenizer.json"));
        if (trouble == "side file")
        {
            Assert.SkipWhen(OperatingSystem.IsWindows(), "A link that leads to itself needs a right there.");
            string file = Path.Combine(model, "generation_config.json");
            File.Delete(file);
            File.CreateSymbolicLink(file, file);
        }
        CliResult planned = await Lrq.Run(["plan", model, .. options, "--untimed"]);
        Assert.Equal(2, planned.Code);
        Assert.Contains(message, Assert.Single(DemoRunTests.Lines(planned.Error)), StringComparison.Ordinal);
        CliResult run = await Lrq.Run(["quantize", model, .. options, "--out", output]);
        Assert.Equal(1, run.Code);
        Assert.Contains(message, Assert.Single(DemoRunTests.Lines(run.Error)), StringComparison.Ordinal);
        Assert.DoesNotContain("block 1", run.Out, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    // Whatever a run spends time on by name has a time in its plan.
    [Theory]
    [InlineData("rtn")]
    [InlineData("rtn", "--grid", "q4_k")]
    [InlineData("lrq", "--iterations", "2")]
    [InlineData("flrq+", "--target-bits", "3.5", "--tune-steps", "2")]
    public async Task EveryStageOfARunHasATime(string method, params string[] more)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        string[] options = [SmallDemo.Folder, "--method", method, "--eval-windows", "1", "--threads", "1", .. more];
        options = method == "rtn" ? [.. options, .. SmallDemo.Measured] : [.. options, "--samples", "4", "--held-out", "2", "--sequence-length", "32", .. SmallDemo.Texts];
        CliResult result = await Lrq.Run(["plan", .. options, "--json"]);
        Assert.True(result.Code == 0, result.Error);
        PlanReport plan = JsonSerializer.Deserialize(result.Out, RunJson.Default.PlanReport)!;
        Assert.All(plan.Stages, stage => Assert.True(stage.Seconds > 0, stage.Name));
        Assert.Equal(plan.Seconds!.Value, plan.Stages.Sum(stage => stage.Seconds), 1e-9);
        Assert.Equal(0, (await Lrq.Run(["quantize", .. options, "--out", output])).Code);
        string[] ran = [.. File.ReadAllLines(Path.Combine(output, RunFolder.WorkName, "run.log")).Select(line => Stage().Match(line)).Where(match => match.Success).Select(match => match.Groups[1].Value)];
        Assert.Contains(RunStage.Result, ran);
        // The blocks tell of themselves one by one.
        Assert.Equal(ran, plan.Stages.Select(stage => stage.Name).Where(name => name != RunStage.Blocks));
    }

    [Theory]
    [InlineData("lrq")]
    [InlineData("flrq")]
    [InlineData("gptq", "--gptaq", "0.25")]
    [InlineData("awq", "--group-size", "32", "--n-grid", "4")]
    [InlineData("autoround", "--iterations", "4")]
    [InlineData("flrq+", "--damping", "auto", "--residual", "lrq", "--iterations", "4")]
    public async Task TheTimeOfMethodsThatLearnIsEstimatedFromOneBlock(string method, params string[] options)
    {
        CliResult result = await Lrq.Run([
            "plan", SmallDemo.Folder, "--method", method, "--bits", "3", "--samples", "4", "--held-out", "2", "--sequence-length", "32", "--threads", "1", .. SmallDemo.Texts, .. options]);
        Assert.True(result.Code == 0, result.Error);
        Assert.Contains("time of the run, estimated", result.Out, StringComparison.Ordinal);
        Assert.Contains("The plan works.", result.Out, StringComparison.Ordinal);
    }

    // A line of the log that names a stage: not the passing ones, which are indented, nor those that tell something of it.
    [GeneratedRegex(@"Z  ([a-z]+ing [^:]+)$")]
    private static partial Regex Stage();
}
