using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Tuning;
using LowRankQuant.Quantization.Vocabulary;

namespace LowRankQuant.Tests.Quantization.Calibration;

/// <summary>
/// Whole runs of every method that can leave tokens out, on a model of two small blocks: tokens that do not count and that no later one can look back at change not a byte of the result, those in front of
/// the ones that count do, and a mask that leaves nothing out is none.
/// </summary>
public sealed class MaskedRunTests : IDisposable
{
    private const int Length = 24, First = 8, Behind = 16, Vocabulary = 160;

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly CausalModel _model;

    public MaskedRunTests()
    {
        _model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Path("golden", "models", "llama_tied")), _device);
    }

    public void Dispose()
    {
        _model.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    /// <summary>Method, its options, and what else is asked for: transforms, a head, steps that tune the whole model.</summary>
    public static TheoryData<string, string, string> Runs => new()
    {
        { "lrq", "iterations=4 batch=2", "" },
        { "lrq", "iterations=4 batch=2 loss=fisher", "" },
        { "lrq-hybrid", "iterations=4 batch=2", "" },
        { "flexround", "iterations=4 batch=2", "" },
        { "autoround", "iterations=4", "" },
        { "lrq+", "iterations=4 batch=2", "tune=2" },
        { "lrq+", "iterations=4 batch=2 codes=gptq", "" },
        { "gptq", "", "" },
        { "gptq", "gptaq=0.25", "head" },
        { "awq", "n_grid=4", "" },
        { "flrq", "extra_size=0.2", "" },
        { "flrq+", "extra_size=0.2 epochs=1", "tune=2" },
        { "flrq+", "target_bits=3.6 epochs=1", "" },
        { "l2qer", "rank=2", "" },
        { "qera-approx", "rank=2", "" },
        { "qera-exact", "rank=2 damping=auto", "" },
        { "lqer", "rank=2 clip=true", "" },
        { "rtn", "", "smooth" },
    };

    [Theory]
    [MemberData(nameof(Runs))]
    public void TokensThatDoNotCountTakeNoPart(string method, string options, string beside)
    {
        bool[] answers = [.. Enumerable.Range(0, Length).Select(token => token is >= First and < Behind)], all = [.. Enumerable.Repeat(true, Length)];
        byte[][] masked = Run(Set(answers)), unmasked = Run(Set(null));
        Assert.NotEqual(unmasked, masked);
        Assert.Equal(unmasked, Run(Set(all)));
        Assert.Equal(masked, Run(Set(answers, token => token >= Behind)));
        Assert.NotEqual(masked, Run(Set(answers, token => token < First)));
        // Without a mask the same tokens are seen.
        Assert.NotEqual(unmasked, Run(Set(null, token => token >= Behind)));

        byte[][] Run(CalibrationSet set) => this.Run(method, options, beside, set);
    }

    // Six windows to learn from, two to judge by and two more to tune on; some of their tokens are others.
    private CalibrationSet Set(bool[]? mask, Func<int, bool>? changed = null)
    {
        int[][] windows = [.. Enumerable.Range(0, 10).Select(window => Enumerable.Range(0, Length).Select(token => ((window * 37) + (token * token * 11) + (changed?.Invoke(token) == true ? 5 : 0)) % Vocabulary).ToArray())];
        return new CalibrationSet(windows[..6], windows[6..8], windows[8..], mask is null ? null : [.. windows.Select(_ => mask)]);
    }

    private byte[][] Run(string method, string options, string beside, CalibrationSet set)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        bool rounds = method == "rtn";
        Recipe recipe = RecipeResolver.Resolve(
            BuiltInMethods.Catalog,
            new RecipeRequest
            {
                Method = method,
                Bits = 3,
                GroupSize = 16,
                Seed = 5,
                HasCalibration = true,
                AssistantOnly = set.Masks is not null,
                Samples = 6,
                HeldOut = 2,
                SequenceLength = Length,
                Options = options.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(option => option.Split('=')).ToDictionary(pair => pair[0], pair => pair[1], StringComparer.Ordinal),
                Transforms = beside == "smooth" ? [new TransformStage("smoothquant", new Dictionary<string, string> { ["alpha"] = "auto" })] : null,
                Head = beside == "head" ? "8" : null,
                TuneSteps = rounds || beside == "head" ? null : beside == "tune=2" ? 2 : 0,
                TuneBatch = beside == "tune=2" ? 3 : null,
                TuneSamples = beside == "tune=2" ? 8 : null,
            },
            _model.Config, _model.Layout, ScaleType.Float16).Recipe;
        RunFolder run = RunFolder.Open(_folder.File(Guid.NewGuid().ToString("N")), RunFingerprint.Of(_model.Checkpoint, set.Fingerprint, recipe, _device.Kernels.Name, "none"), overwrite: false);
        var budget = new MemoryBudget(1 << 30);
        ModelPlan? plan = !recipe.Method.PlansModel ? null : recipe.Method.Plan(new ModelPlanContext
        {
            Model = _model,
            Scheme = recipe.Scheme,
            Calibration = set,
            Activations = budget,
            StatisticsBytes = 1 << 28,
            Scratch = run.Work,
            Seed = recipe.Seed,
        });
        plan?.Write(run.Work);
        plan = ModelPlan.TryRead(run.Work);
        var store = new CompressedBlockStore(recipe.Scheme, plan, recipe.FactorBits);
        VocabularyStore? vocabulary = VocabularyStore.Of(_model, recipe, run, store);
        new BlockPipeline(_model, recipe, run, store) { Plan = plan, Vocabulary = vocabulary is null ? null : new VocabularyQuantizer(_model, recipe, vocabulary) }.Run(set, budget, cancellation);
        if (recipe.Tuning is not null) new ModelTuner(_model, recipe, run, store).Run(set, budget, cancellation);
        return
        [
            .. Enumerable.Range(0, _model.Config.Layers).Select(index => File.ReadAllBytes(run.ResultFile(index))),
            .. rounds ? Enumerable.Range(0, _model.Config.Layers).Select(index => File.ReadAllBytes(run.PreparedFile(index))) : [],
            .. vocabulary is null ? [] : vocabulary.Recipe.Parts.Select(part => File.ReadAllBytes(vocabulary.FileOf(part))),
        ];
    }
}
