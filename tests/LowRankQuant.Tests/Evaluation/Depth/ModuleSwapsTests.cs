using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Evaluation.Depth;

/// <summary>Linears in the reference one by one: what the resumed passes give is what whole evaluations of a model with that one linear give.</summary>
public sealed class ModuleSwapsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static DepthWindow[] Windows
    {
        get
        {
            int[] ids = TokenizerJson.Load(Path.Combine(TestData.Demo, "tokenizer.json")).Encode(File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"))[..2000], addSpecialTokens: false);
            return [new DepthWindow(ids[..90], 0, 90), new DepthWindow(ids[90..150], 10, 60), new DepthWindow(ids[150..210], 0, 60)];
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void EveryLinearLosesWhatAWholeEvaluationSays(bool streamed)
    {
        using var device = new CpuDevice();
        using CausalModel rounded = DepthCollectorTests.Rounded(device), demo = DepthCollectorTests.Demo(device);
        using var scratch = new TemporaryFolder();
        using var reference = new ModelRunner(demo, streamed ? new ModelRunnerOptions { MemoryBytes = 1000, ScratchFolder = scratch.Path } : null);
        Assert.Equal(!streamed, reference.Resident);
        IReadOnlyList<ModuleLoss> losses = new ModuleSwaps(reference, rounded, null).Measure(Windows, null, Token);
        Assert.Equal(demo.Modules.Select(module => module.Name), losses.Select(loss => $"{demo.BlockName(loss.Block)}.{loss.Module}"));
        Assert.All(losses, loss => Assert.True(loss is { KlDivergence: > 0, Bits: 16, Rank: 0 }, $"{loss}"));
        foreach (ModuleLoss loss in new[] { losses[0], losses[4], losses[^1] })
        {
            using CausalModel one = DepthCollectorTests.Rounded(device, name => name == $"{demo.BlockName(loss.Block)}.{loss.Module}.weight");
            using ModelRunner model = new(one), plain = new(demo);
            EvaluationResult whole = new Evaluator(model, plain).Evaluate([.. Windows.Select(window => new TextWindow(window.Ids, window.First))], cancellation: Token);
            Assert.Equal(whole.KlDivergence!.Value, loss.KlDivergence, 1e-12);
        }
        // The reference is as it was.
        Assert.Equal(losses, new ModuleSwaps(reference, rounded, null).Measure(Windows, null, Token));
    }

    [Fact]
    public void ThreadsDoNotChangeABit()
    {
        IReadOnlyList<ModuleLoss>[] losses = [.. new[] { 1, 3 }.Select(threads =>
        {
            using var device = new CpuDevice(new CpuDeviceOptions { Threads = threads });
            using CausalModel rounded = DepthCollectorTests.Rounded(device), demo = DepthCollectorTests.Demo(device);
            using var reference = new ModelRunner(demo);
            return new ModuleSwaps(reference, rounded, null).Measure(Windows[..1], null, Token);
        })];
        Assert.Equal(losses[0], losses[1]);
    }

    [Fact]
    public void ALinearThatIsTheReferencesLosesNothing()
    {
        using var device = new CpuDevice();
        using CausalModel one = DepthCollectorTests.Rounded(device, name => name.Contains("layers.1.mlp", StringComparison.Ordinal)), demo = DepthCollectorTests.Demo(device);
        using var reference = new ModelRunner(demo);
        foreach (ModuleLoss loss in new ModuleSwaps(reference, one, null).Measure(Windows[..1], null, Token).Some())
            Assert.Equal(loss.Block == 1 && loss.Module.StartsWith("mlp", StringComparison.Ordinal), loss.KlDivergence > 0);
    }

    [Fact]
    public void NormsThatTransformsChangedAreNamed()
    {
        using var device = new CpuDevice();
        using CausalModel demo = DepthCollectorTests.Demo(device), rounded = DepthCollectorTests.Rounded(device);
        Assert.Null(ModuleSwaps.Obstacle(demo, rounded));
        using var half = new CausalModel(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), AlteredCheckpoint.RoundToBFloat16), device);
        Assert.Null(ModuleSwaps.Obstacle(demo, half));
        using var scaled = new CausalModel(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), (name, values) =>
        {
            if (name.Contains("layers.1.", StringComparison.Ordinal) && name.EndsWith("norm.weight", StringComparison.Ordinal)) values[3] *= 2;
        }), device);
        Assert.Contains("layers.1.", ModuleSwaps.Obstacle(demo, scaled)!, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatCostsMoreThanTheEvaluationIsNotTheDefault()
    {
        using var device = new CpuDevice();
        using CausalModel demo = DepthCollectorTests.Demo(device);
        double one = SwapCost.Ratio(demo, 512, 512);
        Assert.True(one > 1, $"{one}");
        Assert.Equal(one / 10, SwapCost.Ratio(demo, 512, 5120), 1e-9);
        int needed = (int)Math.Ceiling(one);
        Assert.Equal(0, SwapCost.Affordable(demo, [512, 512, 512, 512], 512L * (needed - 1), 4));
        Assert.Equal(1, SwapCost.Affordable(demo, [512, 512, 512, 512], 512L * needed, 4));
        Assert.Equal(4, SwapCost.Affordable(demo, [512, 512, 512, 512, 512], 512L * 100 * needed, 4));
        Assert.Equal(2, SwapCost.Affordable(demo, [512, 512], 512L * 100 * needed, 4));
    }
}
