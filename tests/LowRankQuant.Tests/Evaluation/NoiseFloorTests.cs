using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Runs.Measuring;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>A model beside itself in bf16: what is rounded, beside the same done by hand in 32-bit floats, and that the reference stays as it is.</summary>
public sealed class NoiseFloorTests : IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Kernels = CpuKernelKind.Simd });
    private readonly CausalModel _model;
    private readonly int[][] _windows = [[.. Enumerable.Range(0, 48).Select(i => (i * 37) % 900)], [.. Enumerable.Range(0, 48).Select(i => (i * 53) % 900)], [.. Enumerable.Range(0, 17).Select(i => (i * 11) % 900)]];

    public NoiseFloorTests() => _model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _model.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void InputsAndWeightsOfEveryLinearAreRounded()
    {
        using var runner = new ModelRunner(_model) { Precision = Precision.BFloat16 };
        using var byHand = new ModelRunner(_model, loadBlock: RoundedBlock);
        using var plain = new ModelRunner(_model);
        (float[][] rounded, float[][] expected, float[][] exact) = (States(runner), States(byHand), States(plain));
        Assert.Equal(expected, rounded);
        Assert.NotEqual(exact[0], rounded[0]);
        // The head is a linear, too.
        using Tensor hidden = _device.From(rounded[0], 48, _model.Config.HiddenSize);
        using Tape tape = runner.BeginTape(), other = plain.BeginTape();
        float[] logits = runner.Head.Logits(tape, new Variable(hidden)).Value.ToArray();
        using OutputHead whole = _model.LoadHead();
        using Tensor weight = _device.From(Rounded(whole.WeightValues()), _model.Config.VocabularySize, _model.EmbeddingWidth);
        using Tensor seen = _device.From(Rounded(plain.Head.Final(other, new Variable(hidden)).Value.ToArray()), 48, _model.EmbeddingWidth);
        Assert.Equal(other.Linear(new Variable(seen), new Variable(weight)).Value.ToArray(), logits);
        Assert.Equal(Precision.Single, _device.Precision);
    }

    [Fact]
    public void MemoryDoesNotChangeIt()
    {
        using var scratch = new TemporaryFolder();
        using var resident = new ModelRunner(_model) { Precision = Precision.BFloat16 };
        using var streamed = new ModelRunner(_model, new ModelRunnerOptions { MemoryBytes = 1000, ScratchFolder = scratch.Path }) { Precision = Precision.BFloat16 };
        Assert.Equal((true, false), (resident.Resident, streamed.Resident));
        Assert.Equal(States(resident), States(streamed));
    }

    [Fact]
    public void TheFloorIsTheDivergenceOfTheReferenceFromItself()
    {
        TextWindow[] windows = [.. _windows.Select(ids => new TextWindow(ids))];
        using var reference = new ModelRunner(_model);
        NoiseFloor floor = FloorMeasurement.Measure(reference, windows, new EvaluationOptions(), new ModelRunnerOptions(), null, new PairMemoryTests.Observer(), Token);
        using ModelRunner plain = new(_model), byHand = new(_model, loadBlock: RoundedBlock) { HeadSource = RoundedHead };
        EvaluationResult close = new Evaluator(byHand, plain).Evaluate(windows, cancellation: Token);
        // By hand the input of the head stays as it is: about the same, and of another size than what two bits less would lose.
        Assert.InRange(floor.KlDivergence, close.KlDivergence!.Value / 2, close.KlDivergence.Value * 3);
        Assert.InRange(floor.KlDivergence, 1e-8, 1e-3);
        Assert.InRange(floor.Top1Agreement, 0.9, 1);
        Assert.True(floor.StandardError > 0);
    }

    [Fact]
    public void AReferenceIsNotRounded()
    {
        using ModelRunner plain = new(_model), rounded = new(_model) { Precision = Precision.BFloat16 };
        Assert.Throws<EvaluationException>(() => new Evaluator(plain, rounded).Evaluate([new TextWindow(_windows[0])], cancellation: Token));
    }

    private static float[] Rounded(float[] values) => [.. values.Select(Rounded)];

    // To nearest, ties to even, of the upper 16 bits.
    private static float Rounded(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value), odd = (bits >> 16) & 1;
        return BitConverter.UInt32BitsToSingle((bits + 0x7fff + odd) & 0xffff0000);
    }

    private OutputHead RoundedHead()
    {
        using OutputHead whole = _model.LoadHead();
        return _model.LoadHead(_device.From(Rounded(whole.WeightValues()), _model.Config.VocabularySize, _model.EmbeddingWidth));
    }

    private IDecoderBlock RoundedBlock(int index)
    {
        IDecoderBlock block = _model.LoadBlock(index);
        var rounding = new InputRounding();
        foreach (LinearSlot slot in block.Slots.Concat(block.Kept))
        {
            slot.Exchange(new DenseWeight(_device.From(Rounded(slot.WeightValues()), slot.OutFeatures, slot.InFeatures))).Dispose();
            slot.InputQuantizer = rounding;
        }
        return block;
    }

    private float[][] States(ModelRunner runner)
    {
        var states = new List<float[]>();
        runner.Run(_windows, (_, hidden) => states.Add(hidden.ToArray()), cancellation: Token);
        return [.. states];
    }

    private sealed class InputRounding : IActivationQuantizer
    {
        public Variable Apply(Tape tape, Variable x) => tape.Once(this, x, () =>
        {
            Tensor rounded = tape.Rent(x.Value.Shape);
            rounded.CopyFrom(Rounded(x.Value.ToArray()));
            return new Variable(rounded);
        });
    }
}
