using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Tuning;

namespace LowRankQuant.Tests.Quantization.Tuning;

/// <summary>Tuning of the demo as a whole, from blocks that svd made: what it changes, what it leaves, and that it can be stopped.</summary>
public sealed class ModelTunerTests : IDisposable
{
    private const int Length = 48;
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly CausalModel _model;
    private readonly CalibrationSet _calibration;

    public ModelTunerTests()
    {
        _model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);
        int[] ids = _model.Checkpoint.LoadTokenizer().Encode(File.ReadAllText(Path.Combine(TestData.Demo, "calibration.txt")), addSpecialTokens: false);
        _calibration = new CalibrationSet(Windows(0, 8), [ids[^Length..]], Windows(8, 2));

        int[][] Windows(int first, int count) => [.. Enumerable.Range(first, count).Select(i => ids[(i * Length)..((i + 1) * Length)])];
    }

    public void Dispose()
    {
        _model.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void DivergenceFallsAndCodesStay()
    {
        (Recipe recipe, RunFolder run, CompressedBlockStore store) = Quantize("run", steps: 16);
        TuningReport report = new ModelTuner(_model, recipe, run, store).Run(_calibration, new MemoryBudget(1 << 30), TestContext.Current.CancellationToken);
        Assert.Equal((16, "held-out calibration windows", null), (report.Steps, report.Measured, report.Warning));
        Assert.True(report.After < 0.97 * report.Before, $"{report.Before} -> {report.After}");
        Assert.Equal(report, run.ReadTuning());
        int changed = 0;
        for (int index = 0; index < _model.Config.Layers; index++)
        {
            using IDecoderBlock block = _model.LoadBlock(index);
            IReadOnlyList<QuantizedWeight> before = store.Read(run.BlockFile(index), block), after = store.Read(run.ResultFile(index), block);
            for (int i = 0; i < before.Count; i++)
            {
                UniformWeight old = (UniformWeight)before[i], tuned = (UniformWeight)after[i];
                Assert.Equal(old.Codes, tuned.Codes);
                Assert.Equal(old.ZeroPoints, tuned.ZeroPoints);
                // The constructor of a weight refuses scales that its type does not have.
                Assert.Equal(ScaleType.Float16, tuned.ScaleType);
                Assert.All(tuned.Scales, scale => Assert.True(scale > 0));
                Assert.All(tuned.Branch!.A, value => Assert.Equal((float)(Half)value, value));
                changed += old.Scales.Zip(tuned.Scales).Count(pair => pair.First != pair.Second);
                Assert.NotEqual(old.Branch!.B, tuned.Branch.B);
            }
        }
        Assert.True(changed > 100, "scales were left as they were");
    }

    [Fact]
    public void AStoppedTuningGoesOnToTheSameBytes()
    {
        (Recipe recipe, RunFolder whole, CompressedBlockStore store) = Quantize("whole", steps: 8);
        (_, RunFolder parts, _) = Quantize("parts", steps: 8);
        var budget = new MemoryBudget(1 << 30);
        new ModelTuner(_model, recipe, whole, store).Run(_calibration, budget, TestContext.Current.CancellationToken);
        using (var stop = new CancellationTokenSource())
        {
            var tuner = new ModelTuner(_model, recipe, parts, store) { Progress = (done, all) => { if (done == all - 5) stop.Cancel(); } };
            Assert.ThrowsAny<OperationCanceledException>(() => tuner.Run(_calibration, budget, stop.Token));
        }
        Assert.Null(parts.ReadTuning());
        Assert.True(File.Exists(parts.TuningStateFile), "nothing was kept of the steps made");
        int first = 0, layers = _model.Config.Layers;
        var rest = new ModelTuner(_model, recipe, parts, store) { Progress = (done, _) => { if (done > layers && first == 0) first = done - layers; } };
        // Little memory: activations go to disk, and nothing changes.
        TuningReport report = rest.Run(_calibration, new MemoryBudget(0), TestContext.Current.CancellationToken);
        Assert.InRange(first, 3, 4);
        Assert.Equal(whole.ReadTuning(), report);
        for (int index = 0; index < _model.Config.Layers; index++) Assert.Equal(File.ReadAllBytes(whole.ResultFile(index)), File.ReadAllBytes(parts.ResultFile(index)));
        parts.RemoveBlocks();
        Assert.False(File.Exists(parts.TuningStateFile));
        Assert.Null(parts.ReadTuning());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void GradientsAreThoseOfFiniteDifferences(bool masked)
    {
        // Of one window some tokens count, of the other none.
        bool[][] masks = [.. Enumerable.Range(0, 11).Select(window => Enumerable.Range(0, Length).Select(token => window != 1 && token is > 5 and < 20).ToArray())];
        CalibrationSet calibration = masked ? new CalibrationSet(_calibration.Windows, _calibration.HeldOutWindows, _calibration.MoreWindows, masks) : _calibration;
        double part = masked ? 14.0 / (2 * Length) : 1;
        (Recipe recipe, RunFolder run, CompressedBlockStore store) = Quantize("run", steps: 1, ScaleType.Float32);
        using IDecoderBlock first = _model.LoadBlock(0);
        UniformWeight weight = ((UniformWeight)store.Read(run.BlockFile(0), first)[0]).WithBranch(null);
        using var arena = new ParameterArena(_device, TunedLinear.ParameterCount(weight), 1);
        using TunedLinear linear = TunedLinear.Create(weight, arena, digits: null);
        using var loss = new TuningLoss(_model, calibration, 2, new MemoryBudget(1 << 30), _folder.File("scratch"), null, Load, _ => { }, TestContext.Current.CancellationToken);
        arena.ClearGradients();
        double value = loss.Gradients([0, 1], TestContext.Current.CancellationToken);
        Assert.True(value > 1e-6, $"{value}");
        Assert.Equal(1, part * loss.Mean(0, 2, TestContext.Current.CancellationToken) / value, 1e-4);
        float[] gradients = arena.Gradients.ToArray();
        // Along the gradient, where floats resolve the change of the loss best.
        double square = gradients.Sum(slope => (double)slope * slope), step = 0.02 / Math.Sqrt(square);
        float[] start = arena.Values.ToArray();
        double Along(double factor)
        {
            arena.Values.CopyFrom([.. start.Select((x, i) => (float)(x + (factor * step * gradients[i])))]);
            return part * loss.Mean(0, 2, TestContext.Current.CancellationToken);
        }

        double slope = (Along(1) - Along(-1)) / (2 * step);
        Assert.InRange(slope / square, 0.98, 1.02);

        // One tuned linear in a model that is otherwise in full precision.
        IDecoderBlock Load(int index)
        {
            IDecoderBlock block = _model.LoadBlock(index);
            if (index == 0) block.Slots[0].Exchange(new TunedWeight(linear, weight, _device)).Dispose();
            return block;
        }
    }

    [Fact]
    public void CodesMoveToNeighboursWhereTheyMay()
    {
        (Recipe recipe, RunFolder codes, CompressedBlockStore store) = Quantize("codes", steps: 16);
        recipe = recipe with { Tuning = recipe.Tuning! with { CodeRate = 0.02 } };
        TuningReport report = new ModelTuner(_model, recipe, codes, store).Run(_calibration, new MemoryBudget(1 << 30), TestContext.Current.CancellationToken);
        Assert.True(report.After < 0.97 * report.Before, $"{report.Before} -> {report.After}");
        int moved = 0, far = 0, all = 0;
        for (int index = 0; index < _model.Config.Layers; index++)
        {
            using IDecoderBlock block = _model.LoadBlock(index);
            IReadOnlyList<QuantizedWeight> before = store.Read(codes.BlockFile(index), block), after = store.Read(codes.ResultFile(index), block);
            for (int i = 0; i < before.Count; i++)
            {
                Assert.Equal(((UniformWeight)before[i]).ZeroPoints, ((UniformWeight)after[i]).ZeroPoints);
                moved += before[i].Codes.Zip(after[i].Codes).Count(pair => pair.First != pair.Second);
                far += before[i].Codes.Zip(after[i].Codes).Count(pair => Math.Abs(pair.First - pair.Second) > 1);
                all += before[i].Codes.Length;
            }
        }
        Assert.InRange(moved, all / 10000, all / 5);
        Assert.Equal(0, far);
    }

    [Fact]
    public void ATuningOfCodesThatWasStoppedGoesOnToTheSameBytes()
    {
        (Recipe recipe, RunFolder whole, CompressedBlockStore store) = Quantize("whole", steps: 8);
        (_, RunFolder parts, _) = Quantize("parts", steps: 8);
        recipe = recipe with { Tuning = recipe.Tuning! with { CodeRate = 0.05 } };
        TuningReport expected = new ModelTuner(_model, recipe, whole, store).Run(_calibration, new MemoryBudget(1 << 30), TestContext.Current.CancellationToken);
        using (var stop = new CancellationTokenSource())
        {
            var tuner = new ModelTuner(_model, recipe, parts, store) { Progress = (done, all) => { if (done == all - 5) stop.Cancel(); } };
            Assert.ThrowsAny<OperationCanceledException>(() => tuner.Run(_calibration, new MemoryBudget(0), stop.Token));
        }
        // Another number of threads changes nothing.
        using var more = new CpuDevice(new CpuDeviceOptions { Threads = 3 });
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), more);
        Assert.Equal(expected, new ModelTuner(model, recipe, parts, store).Run(_calibration, new MemoryBudget(1 << 30), TestContext.Current.CancellationToken));
        for (int index = 0; index < _model.Config.Layers; index++) Assert.Equal(File.ReadAllBytes(whole.ResultFile(index)), File.ReadAllBytes(parts.ResultFile(index)));
    }

    [Fact]
    public void GradientsOfCodesAreThoseOfTheWeightTimesTheStep()
    {
        (Recipe recipe, RunFolder run, CompressedBlockStore store) = Quantize("run", steps: 1, ScaleType.Float32);
        using IDecoderBlock first = _model.LoadBlock(0);
        UniformWeight weight = ((UniformWeight)store.Read(run.BlockFile(0), first)[0]).WithBranch(null);
        using var arena = new ParameterArena(_device, TunedLinear.ParameterCount(weight) + weight.Codes.Length, 2);
        using TunedLinear linear = TunedLinear.Create(weight, arena, digits: null);
        linear.LearnCodes(weight, first.Slots[0].WeightValues(), arena);
        Assert.Equal(weight.Codes, linear.Stored(weight).Codes);
        var dense = new float[weight.Codes.Length];
        weight.Reconstruct(dense);
        using Tensor values = _device.From(dense, weight.OutFeatures, weight.InFeatures), slope = _device.Zeros(weight.OutFeatures, weight.InFeatures);
        float[] found = Gradients(() => new TunedCodes(linear, _device));
        Gradients(() => new Leaf(new Variable(values, slope)));
        float[] plain = slope.ToArray();
        Assert.Contains(plain, value => value != 0);
        // The arena holds the scales, a whole number of its cache lines, and the codes behind them.
        int size = weight.Codes.Length / weight.Scales.Length, at = weight.Scales.Length;
        Assert.Equal(0, at % 16);
        for (int i = 0; i < plain.Length; i++) Assert.Equal(plain[i] * weight.Scales[i / size], found[at + i], 1e-7f + (1e-4f * Math.Abs(found[at + i])));

        float[] Gradients(Func<IWeightSource> source)
        {
            arena.ClearGradients();
            using var loss = new TuningLoss(_model, _calibration, 2, new MemoryBudget(1 << 30), _folder.File("scratch"), null, Load, _ => { }, TestContext.Current.CancellationToken);
            loss.Gradients([0, 1], TestContext.Current.CancellationToken);
            return arena.Gradients.ToArray();

            IDecoderBlock Load(int index)
            {
                IDecoderBlock block = _model.LoadBlock(index);
                if (index == 0) block.Slots[0].Exchange(source()).Dispose();
                return block;
            }
        }
    }

    [Fact]
    public void ALossThatRunsAwayLeavesTheModelAsItWas()
    {
        (Recipe recipe, RunFolder run, CompressedBlockStore store) = Quantize("run", steps: 4);
        recipe = recipe with { Tuning = recipe.Tuning! with { LearningRate = 1e6 } };
        TuningReport report = new ModelTuner(_model, recipe, run, store).Run(_calibration, new MemoryBudget(1 << 30), TestContext.Current.CancellationToken);
        Assert.Equal((0, report.Before), (report.KeptStep, report.After));
        Assert.Contains("`tune.rate`", report.Warning!, StringComparison.Ordinal);
        for (int index = 0; index < _model.Config.Layers; index++) Assert.Equal(File.ReadAllBytes(run.BlockFile(index)), File.ReadAllBytes(run.ResultFile(index)));
    }

    /// <summary>A weight that its block does not own.</summary>
    private sealed class Leaf(Variable weight) : IWeightSource
    {
        public Variable Weight(Tape tape) => weight;

        public void Dispose()
        {
            // The test's.
        }
    }

    private (Recipe Recipe, RunFolder Run, CompressedBlockStore Store) Quantize(string name, int steps, ScaleType scales = ScaleType.Float16)
    {
        Recipe recipe = RecipeResolver.Resolve(
            BuiltInMethods.Catalog,
            new RecipeRequest
            {
                Method = "svd",
                Bits = 2,
                GroupSize = 64,
                ScaleType = scales,
                Seed = 3,
                Samples = 8,
                HeldOut = 1,
                SequenceLength = Length,
                HasCalibration = true,
                Options = Asked.For(("rank", 2), ("clip", true), ("expert_floor", 64)),
            },
            _model.Config, _model.Layout, scales).Recipe with
        {
            Tuning = new TuningRecipe { Steps = steps, LearningRate = 5e-3, Batch = 2, Samples = 10 },
        };
        RunFolder run = RunFolder.Open(_folder.File(name), RunFingerprint.Of(_model.Checkpoint, "test", recipe, _device.Kernels.Name, "none"), overwrite: false);
        var store = new CompressedBlockStore(recipe.Scheme);
        new BlockPipeline(_model, recipe, run, store).Run(
            _calibration, new MemoryBudget(1 << 30), TestContext.Current.CancellationToken);
        return (recipe, run, store);
    }
}
