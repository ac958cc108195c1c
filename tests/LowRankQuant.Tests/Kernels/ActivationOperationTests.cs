using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Quantized activations on the tape: sums of learned steps by window, readers that share, arguments that do not fit.</summary>
public sealed class ActivationOperationTests : IDisposable
{
    private const int Rows = 12, Heads = 2, Columns = 2 * 20;
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 2 });
    private readonly float[] _values = KernelTwins.Random(SeededRandom.Derive(3), Rows * Columns), _slopes = KernelTwins.Random(SeededRandom.Derive(4), Rows * Columns);

    public void Dispose() => _device.Dispose();

    /// <summary>The gradient of steps and zero points is the sum of what single windows give, one after the other, in bits.</summary>
    [Fact]
    public void LearnedStepsAreSummedWindowByWindow()
    {
        float[] whole = Gradients(_values, _slopes, [0, 5, 12]), one = Gradients(_values[..(5 * Columns)], _slopes[..(5 * Columns)], [0, 5]);
        float[] other = Gradients(_values[(5 * Columns)..], _slopes[(5 * Columns)..], [0, 7]);
        Assert.Equal(2 * Heads, whole.Length);
        Assert.Equal(one.Zip(other, (a, b) => a + b), whole);
        Assert.DoesNotContain(0f, whole);
        Assert.Throws<InvalidOperationException>(() => Gradients(_values, _slopes, [0, 11]));
    }

    /// <summary>Readers of one input get one variable, whose gradient is the sum of theirs; another input, and another pass, get their own.</summary>
    [Fact]
    public void ReadersShareOneVariable()
    {
        using Tensor values = _device.From(_values, Rows, Columns), gradient = _device.Zeros(Rows, Columns), seed = _device.From(_slopes, Rows, Columns);
        using var tape = new Tape(_device, recording: true);
        var x = new Variable(values, gradient);
        int made = 0;
        Variable Rounded(Variable input) => tape.Once(this, input, () =>
        {
            made++;
            return tape.QuantizeActivations(input, new ActivationGrid(8, true, ActivationScope.Token), null);
        });

        Variable first = Rounded(x);
        Assert.Same(first, Rounded(x));
        tape.Backward(tape.Add(tape.Scale(first, 2), Rounded(x)), seed);
        Assert.Equal(1, made);
        KernelTwins.Near([.. _slopes.Select(slope => 3 * slope)], gradient.ToArray(), 1e-6, "dx");
        Assert.NotSame(first, Rounded(x));
        Assert.NotSame(Rounded(x), Rounded(new Variable(values)));
    }

    [Fact]
    public void ArgumentsThatDoNotFitAreRefused()
    {
        using Tensor values = _device.From(_values, Rows, Columns), step = _device.From([0.1f], 1), slope = _device.Zeros(1);
        using var tape = new Tape(_device, recording: true);
        var x = new Variable(values);
        var fixedSteps = new StaticSteps(new Variable(step), new Variable(step));
        Assert.Throws<ArgumentException>(() => tape.QuantizeActivations(x, new ActivationGrid(8, true, ActivationScope.Token), fixedSteps));
        Assert.Throws<ArgumentException>(() => tape.QuantizeActivations(x, new ActivationGrid(8, true, ActivationScope.Tensor), null));
        Assert.Throws<ArgumentException>(() => tape.QuantizeActivations(x, new ActivationGrid(8, true, ActivationScope.Tensor), fixedSteps with { Step = new Variable(step, slope) }));
        Assert.Throws<ArgumentException>(() => tape.QuantizeActivations(x, new ActivationGrid(8, true, ActivationScope.TokenHead), null, heads: 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ActivationGrid(9, true, ActivationScope.Token));
        Assert.Throws<ArgumentException>(() => new ActivationGrid(8, true, ActivationScope.Token, ActivationRule.Paper));
    }

    private float[] Gradients(float[] values, float[] slopes, int[] windows)
    {
        int rows = values.Length / Columns;
        using Tensor x = _device.From(values, rows, Columns), seed = _device.From(slopes, rows, Columns), step = _device.From([-5f, -4.7f], Heads), zero = _device.From([3.4f, -2f], Heads);
        using Tensor dStep = _device.Zeros(Heads), dZero = _device.Zeros(Heads);
        using var tape = new Tape(_device, recording: true) { Windows = windows };
        var steps = new StaticSteps(new Variable(step, dStep), new Variable(zero, dZero), IsLog: true);
        tape.Backward(tape.QuantizeActivations(new Variable(x), new ActivationGrid(8, false, ActivationScope.Head), steps), seed);
        return [.. dStep.ToArray(), .. dZero.ToArray()];
    }
}
