using System.Security.Cryptography;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Tests.Quantization;

namespace LowRankQuant.Tests.Families;

/// <summary>Blocks whose experts stay in their files until they are computed with: the bytes of whole blocks, and the plan that decides between the two.</summary>
public sealed class PagedBlockTests : IDisposable
{
    private const int Length = 24;
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 2 });

    [Theory]
    [InlineData("models/qwen3_moe", "rtn", false, WeightPaging.Experts)]
    [InlineData("models/qwen3_moe", "flrq", false, WeightPaging.Experts)]
    [InlineData("models/qwen3_moe", "flrq", false, WeightPaging.Linears)]
    [InlineData("models/qwen3_moe", "lqer", true, WeightPaging.Experts)]
    [InlineData("models/qwen3_moe", "gptq", false, WeightPaging.Experts)]
    [InlineData("models/granite", "gptq", false, WeightPaging.Linears)]
    [InlineData("models/granite", "rtn", false, WeightPaging.Linears)]
    [InlineData("models/granite", "flrq", false, WeightPaging.Linears)]
    [InlineData("models/gpt_neox", "lqer", true, WeightPaging.Linears)]
    [InlineData("models2/gpt_oss", "rtn", false, WeightPaging.Experts)]
    [InlineData("hybrids/mistral4", "flrq", false, WeightPaging.Linears)]
    public void PagedBlocksGiveTheBytesOfWholeOnes(string name, string method, bool quantizedInputs, WeightPaging paging)
    {
        string source = _folder.File("source");
        FamilyModels.Write(name, source);
        Recipe recipe = RecipeOf(source, method, quantizedInputs);
        (string whole, double wholeLoss) = Run(source, recipe, "whole", WeightPaging.None, statistics: 1L << 30);
        (string paged, double pagedLoss) = Run(source, recipe, "paged", paging, statistics: 1);
        Assert.Equal(whole, paged);
        Assert.Equal(wholeLoss, pagedLoss);
    }

    [Theory]
    [InlineData(WeightPaging.Experts)]
    [InlineData(WeightPaging.Linears)]
    public void PagedWeightsAreFloatsOnlyWhileTheyAreComputedWith(WeightPaging paging)
    {
        string source = _folder.File("source");
        FamilyModels.Write("models/qwen3_moe", source);
        long whole = LoadedBytes(WeightPaging.None), paged = LoadedBytes(paging);
        using var model = new CausalModel(CheckpointOpener.Open(source), _device);
        long weights = model.Layout.LargestBlock.Where(Stays).Sum(linear => linear.Weights) * sizeof(float);
        Assert.True(weights > 0);
        Assert.InRange(whole - paged, weights, weights + (weights / 4));

        bool Stays(LinearShape linear) => linear.IsExpert || paging == WeightPaging.Linears;

        long LoadedBytes(WeightPaging asked)
        {
            using var opened = new CausalModel(CheckpointOpener.Open(source), _device) { Paging = asked };
            long before = _device.BytesInUse;
            using IDecoderBlock block = opened.LoadBlock(0);
            Assert.All(block.Slots, slot => Assert.Equal(asked == WeightPaging.Linears || (asked == WeightPaging.Experts && slot.IsExpert), slot.Weight is PagedWeight));
            return _device.BytesInUse - before;
        }
    }

    [Fact]
    public void ThePlanGoesExpertByExpertWhereABlockDoesNotFit()
    {
        // The widths of a block of Qwen3-30B-A3B: 2.3 GiB of floats.
        LinearShape[] experts = [.. Enumerable.Range(0, 128).SelectMany(e => new LinearShape[] { new($"e.{e}.gate", 768, 2048), new($"e.{e}.up", 768, 2048), new($"e.{e}.down", 2048, 768) })
            .Select(linear => linear with { IsExpert = true })];
        ModelLayout layout = ModelLayout.OfBlock([new("q", 4096, 2048), new("o", 2048, 4096), .. experts], 5);
        string source = _folder.File("source");
        FamilyModels.Write("models/qwen3_moe", source);
        using ICheckpoint checkpoint = CheckpointOpener.Open(source);
        DecoderConfig config = checkpoint.Config with { HiddenSize = 2048 };
        MemoryPlan Plan(string method, long gigabytes) => MemoryPlan.For(config, layout, RecipeOf(source, method, false), gigabytes << 30);

        Assert.Equal(WeightPaging.None, Plan("rtn", 40).Paging);
        Assert.Equal(WeightPaging.None, Plan("flrq", 40).Paging);
        Assert.Equal(WeightPaging.Experts, Plan("rtn", 6).Paging);
        MemoryPlan flrq = Plan("flrq", 6);
        Assert.True(flrq is { Paging: WeightPaging.Experts, StatisticsBytes: > 0 });
        Assert.InRange(flrq.FixedBytes + flrq.StatisticsBytes + flrq.ActivationBytes, 1, 6L << 30);
        foreach (string method in new[] { "lrq", "flexround", "flrq+", "awq" })
        {
            string message = Assert.Throws<OutOfBudgetException>(() => Plan(method, 6)).Message;
            Assert.Contains("its experts cannot be taken one by one", message, StringComparison.Ordinal);
            Assert.Contains("rtn, which needs about", message, StringComparison.Ordinal);
            Assert.Contains("the memory budget is 6.0 GiB", message, StringComparison.Ordinal);
        }
        Assert.Contains("linear by linear", Assert.Throws<OutOfBudgetException>(() => Plan("rtn", 0)).Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    private static Recipe RecipeOf(string source, string method, bool quantizedInputs)
    {
        using ICheckpoint checkpoint = CheckpointOpener.Open(source);
        bool fits = method is not ("rtn" or "lrq" or "flexround");
        return RecipeResolver.Resolve(
            BuiltInMethods.Catalog,
            new RecipeRequest
            {
                Method = method,
                Bits = 3,
                GroupSize = method == "flrq" ? 64 : null,
                Samples = method == "rtn" ? null : 3,
                HeldOut = method == "rtn" ? null : 1,
                SequenceLength = method == "rtn" ? null : Length,
                TuneSteps = method == "flrq+" ? 0 : null,
                Options = Options(),
                HasCalibration = method != "rtn",
            },
            checkpoint.Config, checkpoint.Layout, checkpoint.NativeScaleType).Recipe;

        IReadOnlyDictionary<string, string> Options()
        {
            if (!fits) return Asked.For();
            var options = new List<(string, object)> { ("expert_floor", 4) };
            if (method == "lqer") options.Add(("rank", 4));
            if (method == "flrq") options.Add(("epochs", 0));
            if (quantizedInputs) options.AddRange([("quantized_inputs", true), ("propagation", 0.5)]);
            return Asked.For([.. options]);
        }
    }

    // The hash of the block files, and the loss of the result that they make when it is paged in the same way.
    private (string Hash, double Loss) Run(string source, Recipe recipe, string name, WeightPaging paging, long statistics)
    {
        using var model = new CausalModel(CheckpointOpener.Open(source), _device) { Paging = paging };
        RunFolder run = RunFolder.Open(_folder.File(name), RunFingerprint.Of(model.Checkpoint, "test", recipe, _device.Kernels.Name, "none"), overwrite: false);
        var store = new CompressedBlockStore(recipe.Scheme);
        int[][] windows = [.. Enumerable.Range(0, 4).Select(row => Enumerable.Range(0, Length).Select(i => ((row * 31) + (i * i)) % 101).ToArray())];
        new BlockPipeline(model, recipe, run, store) { StatisticsBytes = statistics }.Run(
            recipe.Method.RoundsToNearest ? null : new CalibrationSet(windows[..3], windows[3..]), new MemoryBudget(1 << 30), TestContext.Current.CancellationToken);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int i = 0; i < model.Config.Layers; i++) hash.AppendData(File.ReadAllBytes(run.ResultFile(i)));
        using var rounded = new ModelRunner(model, new ModelRunnerOptions { MemoryBytes = 1 }, index =>
        {
            IDecoderBlock block = model.LoadBlock(index);
            var stored = store.Read(run.ResultFile(index), block);
            for (int i = 0; i < stored.Count; i++) block.Slots[i].Exchange(stored[i].InPlaceOf(block.Slots[i].Weight, _device)).Dispose();
            return block;
        });
        EvaluationResult measured = new Evaluator(rounded).Evaluate([.. windows.Select(ids => new TextWindow(ids))], cancellation: TestContext.Current.CancellationToken);
        return (Convert.ToHexStringLower(hash.GetHashAndReset()), measured.Perplexity!.Value);
    }
}
