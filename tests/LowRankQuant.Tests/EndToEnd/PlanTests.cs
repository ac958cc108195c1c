using System.Text.Json;
using LowRankQuant.Evaluation.Runs;

namespace LowRankQuant.Tests.EndToEnd;

public sealed class PlanTests
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
        foreach (string what in new[] { "--target vllm cannot hold w2 asymmetric Q2_K", "memory budget is 1 MiB", "--learning-rate -1" })
            Assert.Single(plan.Problems, problem => problem.Contains(what, StringComparison.Ordinal));
        Assert.Equal(3, result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }

    [Theory]
    [InlineData("lrq")]
    [InlineData("flrq")]
    [InlineData("flrq+", "--damping", "auto", "--residual", "lrq", "--iterations", "4")]
    public async Task TheTimeOfMethodsThatLearnIsEstimatedFromOneBlock(string method, params string[] options)
    {
        CliResult result = await Lrq.Run([
            "plan", "demo", "--method", method, "--bits", "3", "--samples", "4", "--held-out", "2", "--sequence-length", "32", "--threads", "1", .. options]);
        Assert.True(result.Code == 0, result.Error);
        Assert.Contains("time of all blocks, estimated", result.Out, StringComparison.Ordinal);
        Assert.Contains("The plan works.", result.Out, StringComparison.Ordinal);
    }
}
