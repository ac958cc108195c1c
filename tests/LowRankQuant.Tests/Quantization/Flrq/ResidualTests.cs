using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>LRQ on what a low-rank branch leaves: where learning begins, its gradients, what is stored.</summary>
public sealed class ResidualTests : IDisposable
{
    private const int Windows = 4, Length = 32, Rank = 3;
    private static readonly Scheme Scheme = new(new UniformGrid(3, false, Granularity.Group, 64), GridStart.MinMax, ScaleType.Float16);
    public static TheoryData<string> TwoLevelGrids => ["q2_k", "q3_k", "q4_k"];

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly CausalModel _model;
    private readonly IDecoderBlock _block;

    public ResidualTests()
    {
        _model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);
        _block = _model.LoadBlock(0);
    }

    public void Dispose()
    {
        _block.Dispose();
        _model.Dispose();
        _device.Dispose();
    }

    [Theory]
    [InlineData(2.7f, 2, 0, 3)]
    [InlineData(-0.2f, 2, 0, 3)]
    [InlineData(9f, 3, 0, 3)]
    [InlineData(-9f, 0, 2, 3)]
    [InlineData(0.5f, 1, 0, 3)]
    [InlineData(1.2f, 1, 0, 3)]
    [InlineData(-1.9f, 0, 3, 7)]
    public void AValueIsBroughtIntoItsCodesCell(float value, int code, int zero, int maxCode)
    {
        float inside = LayerStart.IntoCell(value, code, zero, maxCode, LayerStart.Depth), middle = code - zero;
        Assert.Equal(code, (int)Math.Clamp(MathF.Round(inside) + zero, 0, maxCode));
        // On the same side of the middle, and nearer to its border than a value that lies deeper.
        Assert.True((inside - middle) * (value - middle) >= 0);
        float deeper = LayerStart.IntoCell(middle + (0.9f * Math.Clamp(value - middle, -0.5f, 0.5f)), code, zero, maxCode, LayerStart.Depth);
        if (Math.Abs(value - middle) <= 0.5f) Assert.True(Math.Abs(deeper - middle) < Math.Abs(inside - middle));
    }

    [Theory]
    [InlineData(8, false)]
    [InlineData(8, true)]
    [InlineData(16, true)]
    public void LearningBeginsAtTheSolversCodes(int factorBits, bool trainBranch)
    {
        using var arena = new ParameterArena(_device, 4_000_000, 64);
        LinearSlot slot = _block.Slots[0];
        var stored = (UniformWeight)Corrected(slot, factorBits);
        LayerStart start = LayerStart.OfQuantized(slot, stored, Scheme);
        using LearnedScale learned = LearnedScale.Create(slot, new RoundingParts(ScaleShape.LowRankFor(slot.OutFeatures, slot.InFeatures, 8)) { TrainsBranch = trainBranch }, start, arena, 1);
        var again = (UniformWeight)learned.ToQuantizedWeight();
        Assert.Equal(stored.Codes, again.Codes);
        Assert.Equal(stored.Scales, again.Scales);
        Assert.Equal(stored.ZeroPoints, again.ZeroPoints);
        Assert.Equal(stored.Branch!.A, again.Branch!.A);
        Assert.Equal(stored.Branch.B, again.Branch.B);
        Assert.Equal(stored.StoredBits, again.StoredBits);
        // What the block computes with is what is stored.
        var values = new float[stored.Codes.Length];
        again.Reconstruct(values);
        using var tape = new Tape(_device, recording: false);
        float[] used = learned.Weight(tape).Value.ToArray();
        for (int i = 0; i < values.Length; i++) Assert.Equal(values[i], used[i], 1e-6f);
    }

    [Theory]
    [MemberData(nameof(TwoLevelGrids))]
    public void OnTwoLevelGridsToo(string name)
    {
        using var arena = new ParameterArena(_device, 4_000_000, 64);
        LinearSlot slot = _block.Slots[0];
        var stored = (TwoLevelWeight)Corrected(slot, 8, TwoLevelGrid.Find(name));
        LayerStart start = LayerStart.OfQuantized(slot, stored, Scheme);
        using LearnedScale learned = LearnedScale.Create(slot, new RoundingParts(ScaleShape.LowRankFor(slot.OutFeatures, slot.InFeatures, 8)), start, arena, 1);
        var again = (TwoLevelWeight)learned.ToQuantizedWeight();
        Assert.Equal(stored.Codes, again.Codes);
        Assert.Equal(stored.Scales.BlockScales, again.Scales.BlockScales);
        Assert.Equal(stored.Scales.BlockMinima, again.Scales.BlockMinima);
        Assert.Equal(stored.Scales.GroupScales, again.Scales.GroupScales);
        Assert.Equal(stored.Scales.GroupMinima, again.Scales.GroupMinima);
        Assert.Equal(stored.Branch!.A, again.Branch!.A);
        var values = new float[stored.Codes.Length];
        again.Reconstruct(values);
        using var tape = new Tape(_device, recording: false);
        float[] used = learned.Weight(tape).Value.ToArray();
        for (int i = 0; i < values.Length; i++) Assert.Equal(values[i], used[i], 1e-6f);
    }

    [Theory]
    [MemberData(nameof(TwoLevelGrids))]
    public void TrainingOnTwoLevelGridsNeverEndsWorseOnHeldOutWindows(string name)
    {
        const int training = Windows / 2;
        using Scene scene = new(_model, _block, training);
        QuantizedWeight[] corrected = [.. _block.Slots.Select(slot => Corrected(slot, 8, TwoLevelGrid.Find(name)))];
        var context = new BlockContext { Block = _block, Device = _device, Scheme = Scheme, Streams = scene.Streams, Seed = 3 };
        double before = scene.Loss(corrected, training, Windows - training);
        // A rate that may learn, and one that only destroys.
        QuantizedBlock learned = Solve(2e-3), destroyed = Solve(50);
        double after = scene.Loss(learned.Weights, training, Windows - training);
        Assert.True(learned.KeptIteration > 0 ? after < before : after == before, $"loss {before} -> {after} by iteration {learned.KeptIteration}");
        Assert.Equal(0, destroyed.KeptIteration);
        Assert.NotEmpty(destroyed.Warnings);
        Assert.Equal(before, scene.Loss(destroyed.Weights, training, Windows - training));

        QuantizedBlock Solve(double rate)
        {
            var options = new TrainingSettings { Iterations = 30, LearningRate = rate, KeepBest = true };
            var solver = new BlockReconstruction(options, (rows, columns) => ScaleShape.LowRankFor(rows, columns, 16), trainBranches: true);
            QuantizedBlock block = solver.Solve(context, [.. _block.Slots.Select((slot, i) => LayerStart.OfQuantized(slot, corrected[i], Scheme))], "left");
            foreach ((QuantizedWeight first, QuantizedWeight weight) in corrected.Zip(block.Weights))
            {
                TwoLevelScales was = ((TwoLevelWeight)first).Scales, now = ((TwoLevelWeight)weight).Scales;
                Assert.Equal(was.GroupScales, now.GroupScales);
                Assert.Equal(was.GroupMinima, now.GroupMinima);
            }
            return block;
        }
    }

    [Fact]
    public void TheBlocksLossFollowsTheGradientsOfFactors()
    {
        using var arena = new ParameterArena(_device, 8_000_000, 64);
        LearnedScale[] learned = Learn(arena, factorBits: 16);
        using Scene scene = new(_model, _block);
        IWeightSource[] dense = [.. _block.Slots.Select((slot, i) => slot.Exchange(learned[i]))];
        using var trainer = new BlockTrainer(_block, scene.Streams, arena, new TrainingSettings { Iterations = 1, LearningRate = 0 });
        int[] windows = [0, 1];
        Variable[] factors = [.. learned.SelectMany(scale => scale.BranchFactors)];
        // Away from values that fp16 holds exactly: around those a small move is rounded away.
        var random = new SeededRandom(11);
        foreach (Variable factor in factors) factor.Value.CopyFrom([.. factor.Value.ToArray().Select(value => (float)(value * (1 + (0.01 * random.NextUniform()))))]);
        double loss = trainer.Gradients(windows);
        // Along the gradient of all factors together: far enough for the rounding of the factors to average out, near enough for the loss to be straight.
        float[][] kept = [.. factors.Select(factor => factor.Value.ToArray())], slopes = [.. factors.Select(factor => factor.Gradient!.ToArray())];
        double square = slopes.Sum(slope => slope.Sum(value => (double)value * value)), step = 0.03 * loss / square;
        double Moved(double by)
        {
            for (int i = 0; i < factors.Length; i++)
                factors[i].Value.CopyFrom([.. kept[i].Zip(slopes[i], (value, direction) => (float)(value + (by * direction)))]);
            return trainer.MeanLoss(0, 2, TestContext.Current.CancellationToken);
        }

        Assert.Equal(2 * _block.Slots.Count, factors.Length);
        Assert.All(slopes, slope => Assert.Contains(slope, value => value != 0));
        Assert.Equal(square, (Moved(step) - Moved(-step)) / (2 * step), 0.03 * square);
        for (int i = 0; i < dense.Length; i++) _block.Slots[i].Exchange(dense[i]).Dispose();
    }

    [Theory]
    [InlineData(8, false)]
    [InlineData(8, true)]
    [InlineData(16, true)]
    [InlineData(8, true, "q2_k")]
    public void TrainingLowersTheBlocksLossAndStaysStorable(int factorBits, bool trainBranch, string? twoLevel = null)
    {
        using Scene scene = new(_model, _block);
        QuantizedWeight[] corrected = [.. _block.Slots.Select(slot => Corrected(slot, factorBits, twoLevel is null ? null : TwoLevelGrid.Find(twoLevel)))];
        var options = new TrainingSettings { Iterations = 40, LearningRate = 5e-3 };
        var solver = new BlockReconstruction(options, (rows, columns) => ScaleShape.LowRankFor(rows, columns, 16), trainBranch);
        var context = new BlockContext { Block = _block, Device = _device, Scheme = Scheme, Streams = scene.Streams, Seed = 3 };
        LayerStart[] starts = [.. _block.Slots.Select((slot, i) => LayerStart.OfQuantized(slot, corrected[i], Scheme))];
        QuantizedBlock learned = solver.Solve(context, starts, "left");
        Assert.Empty(learned.Warnings);
        Assert.All(_block.Slots, slot => Assert.IsType<DenseWeight>(slot.Weight));
        double before = scene.Loss(corrected), after = scene.Loss(learned.Weights);
        Assert.True(after < 0.95 * before, $"loss {before} -> {after}");
        foreach (QuantizedWeight weight in learned.Weights)
        {
            float[] a = [.. weight.Branch!.A], b = [.. weight.Branch.B];
            FactorRounding.Rows(a, Rank, factorBits);
            FactorRounding.Columns(b, Rank, factorBits);
            Assert.Equal(weight.Branch.A, a);
            Assert.Equal(weight.Branch.B, b);
        }
        Assert.Equal(!trainBranch, corrected[0].Branch!.A.SequenceEqual(learned.Weights[0].Branch!.A));
    }

    private LearnedScale[] Learn(ParameterArena arena, int factorBits) => [.. _block.Slots.Select((slot, i) => LearnedScale.Create(
        slot, new RoundingParts(ScaleShape.LowRankFor(slot.OutFeatures, slot.InFeatures, 8)) { TrainsBranch = true },
        LayerStart.OfQuantized(slot, Corrected(slot, factorBits), Scheme), arena, (ulong)i))];

    // Rounded to nearest, with a term of the error that is not the best there is: something is left to learn.
    private QuantizedWeight Corrected(LinearSlot slot, int factorBits, TwoLevelGrid? twoLevel = null)
    {
        int m = slot.OutFeatures, n = slot.InFeatures;
        double[] weight = Array.ConvertAll(((DenseWeight)slot.Weight).Value.ToArray(), value => (double)value);
        GridWeight rounded = twoLevel is null
            ? GridWeight.RoundToNearest(weight, m, n, (UniformGrid)Scheme.Grid, _device.HostWorkers)
            : TwoLevelGridWeight.Search(weight, m, n, twoLevel, [.. Enumerable.Repeat(1f, n)], _device.HostWorkers);
        rounded.RoundScales(Scheme.ScaleType, Scheme.ScaleDigits);
        double[] error = rounded.ErrorOf(weight), ones = [.. Enumerable.Repeat(1.0, n)];
        LowRankFactors factors = RankSelection.OfRank(error, ones, Rank, new Sketching(SketchForm.RankOne, 2, new StartVectors(m, 1UL), _device.HostWorkers)).ToHalf();
        double[] u = [.. factors.U], v = [.. factors.V];
        FactorRounding.Columns(u, Rank, factorBits);
        FactorRounding.Rows(v, Rank, factorBits);
        return rounded.ToQuantizedWeight(Scheme.ScaleType, new LowRankFactors(Rank, u, v).ToBranch(factorBits));
    }

    /// <summary>Token windows through the block: what it gets and what it should give.</summary>
    private sealed class Scene : IDisposable
    {
        private readonly ActivationStream _input;
        private readonly ActivationStream _target;
        private readonly IDecoderBlock _block;
        private readonly Device _device;

        public Scene(CausalModel model, IDecoderBlock block, int training = Windows)
        {
            _block = block;
            _device = model.Device;
            var budget = new MemoryBudget(1 << 28);
            _input = ActivationStream.Of(_device, new ActivationStore(Windows, Length, model.Config.HiddenSize, budget, Path.GetTempPath()), new StreamOptions(budget, Path.GetTempPath()));
            _target = ActivationStream.Of(_device, new ActivationStore(Windows, Length, model.Config.HiddenSize, budget, Path.GetTempPath()), new StreamOptions(budget, Path.GetTempPath()));
            using InputEmbedding embedding = model.LoadEmbedding();
            using Tensor x = _device.Empty(Length, model.Config.HiddenSize);
            var random = new SeededRandom(7);
            for (int window = 0; window < Windows; window++)
            {
                int[] ids = [.. Enumerable.Range(0, Length).Select(_ => (int)(random.NextUniform() * model.Config.VocabularySize))];
                embedding.Embed(ids, x);
                _input.Write(window, x);
                using var tape = new Tape(_device, recording: false);
                _target.Write(window, block.Forward(tape, new Variable(x), new SequenceShape(1, Length)).Value);
            }
            Streams = new BlockStreams(_input, _target, training);
        }

        public BlockStreams Streams { get; }

        public double Loss(IReadOnlyList<QuantizedWeight> weights, int first = 0, int count = Windows)
        {
            using var swap = LowRankQuant.Quantization.Methods.SlotSwap.Dequantized(_block, weights, _device);
            using var arena = new ParameterArena(_device, 16, 1);
            using var trainer = new BlockTrainer(_block, Streams, arena, new TrainingSettings { Iterations = 1, LearningRate = 0 });
            return trainer.MeanLoss(first, count, TestContext.Current.CancellationToken);
        }

        public void Dispose()
        {
            _input.Dispose();
            _target.Dispose();
        }
    }
}
