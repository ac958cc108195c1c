using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Sequences;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Mamba-2's recurrence: formula, gradient, chunks against the plain form, states handed on, tape.</summary>
public class StateSpaceTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Fact]
    public void ValuesAreThoseOfTheFormulas()
    {
        // Two heads of one group, two elements a head, a state of one element, two tokens; exp(dt A) is a half, a quarter, ...
        double ln2 = Math.Log(2);
        double[] x = [1, 2, 3, 4, 5, 6, 7, 8], b = [2, 3], c = [1, 10], dt = [1, 2, 2, 1], a = [-ln2, -ln2], d = [0, 1], start = [4, 8, 16, 32];
        double[] y = new double[8], end = new double[4];
        Reference.StateSpaceForward<double>(new StateSpaceShape(1, 2, 2, 1, 2, 1), x, b, c, dt, a, d, start, y, end, []);

        // Head 0: 4/2 + 1*1*2 = 4, then 4/4 + 2*5*3 = 31; its second element 8/2 + 1*2*2 = 8, then 8/4 + 2*6*3 = 38. Head 1: 16/4 + 2*3*2 = 16, then
        // 16/2 + 1*7*3 = 29; 32/4 + 2*4*2 = 24, then 24/2 + 1*8*3 = 36.
        double[] states = [31, 38, 29, 36], outputs = [4, 8, 16 + 3, 24 + 4, 310, 380, 290 + 7, 360 + 8];
        for (int i = 0; i < 4; i++) Assert.Equal(states[i], end[i], 1e-12);
        for (int i = 0; i < 8; i++) Assert.Equal(outputs[i], y[i], 1e-12);
    }

    [Theory]
    [InlineData(5, 0.7)]
    [InlineData(67, 0.05)]
    public void ReferenceHasItsGradient(int length, double decay)
    {
        var shape = new StateSpaceShape(2, length, 4, 2, 2, 3);
        StateSpaceCase data = StateSpaceCase.Random(shape, decay, 31);
        ScanDoubles values = data.Doubles(), gradients = data.Zeros();
        double[] y = new double[data.X.Length], kept = new double[shape.KeptElements], dy = ScanCase.Double(data.Slope);
        double Loss()
        {
            data.ReferenceForward(values, y, [], []);
            return Dot(dy, y);
        }

        data.ReferenceForward(values, y, [], kept);
        data.ReferenceBackward(values, kept, dy, gradients);
        Check(Loss, values.X, gradients.X, "dx");
        Check(Loss, values.B, gradients.B, "dB");
        Check(Loss, values.C, gradients.C, "dC");
        Check(Loss, values.Steps, gradients.Steps, "d(dt)");
    }

    [Theory]
    [InlineData(1, 1, 1, 1, 64, 128)]
    [InlineData(2, 2, 2, 1, 16, 24)]
    [InlineData(1, 7, 2, 2, 20, 16)]
    [InlineData(1, 8, 1, 1, 20, 16)]
    [InlineData(2, 17, 6, 2, 20, 24)]
    [InlineData(1, 63, 5, 1, 16, 16)]
    [InlineData(1, 64, 3, 3, 64, 24)]
    [InlineData(1, 65, 4, 2, 20, 128)]
    [InlineData(1, 130, 9, 1, 16, 24)]
    [InlineData(2, 130, 12, 2, 64, 128)]
    [InlineData(1, 200, 2, 1, 5, 3)]
    public void ChunksAgreeWithTheRecurrence(int batch, int length, int heads, int groups, int headSize, int stateSize)
    {
        var shape = new StateSpaceShape(batch, length, heads, groups, headSize, stateSize);
        foreach (double decay in new[] { 1e-4, 0.05, 1, 60 })
            StateSpaceCase.Random(shape, decay, (ulong)(length + stateSize)).CompareWithTwin(twins, 4e-6, 4e-6, $"decay {decay}");
    }

    [Theory]
    [InlineData(130, 65)]
    [InlineData(100, 3, 70, 99)]
    [InlineData(12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]
    public void StatesCanBeHandedOn(int length, params int[] cuts)
    {
        StateSpaceCase data = StateSpaceCase.Random(new StateSpaceShape(2, length, 4, 2, 20, 24), 0.1, 33);
        data.ComparePartsWithWhole(twins, twins.Scalar, cuts, 1e-6);
        foreach (int bits in KernelTwins.Widths) data.ComparePartsWithWhole(twins, twins.Simd(bits, 2), cuts, 3e-6);
    }

    [Fact]
    public void TheTapeGivesTheGradients()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var shape = new StateSpaceShape(1, 70, 2, 1, 8, 16);
        StateSpaceCase data = StateSpaceCase.Random(shape, 0.3, 34);
        Tensor end = device.Empty(16, 16), start = device.From(data.Start, 16, 16);
        Tensor[] gradients = [device.Empty(70, 16), device.Empty(70, 16), device.Empty(70, 2)];
        float[] output;
        using (var tape = new Tape(device, recording: true))
        {
            // What is written is also what is read, so that its gradient has two parts.
            var x = new Variable(device.From(data.X, 70, 16), gradients[0]);
            var shared = new Variable(device.From(data.B, 70, 16), gradients[1]);
            var steps = new Variable(device.From(data.Steps, 70, 2), gradients[2]);
            Variable y = tape.StateSpace(shape, x, shared, shared, steps, device.From(data.A, 2), device.From(data.D, 2), start, end);
            output = y.Value.ToArray();
            tape.Backward(y, device.From(data.Slope, 70, 16));
        }
        ScanDoubles values = data.Doubles() with { C = ScanCase.Double(data.B) }, expected = data.Zeros();
        double[] expectedY = new double[data.X.Length], kept = new double[shape.KeptElements], expectedEnd = new double[data.Start.Length];
        data.ReferenceForward(values, expectedY, expectedEnd, kept);
        data.ReferenceBackward(values, kept, ScanCase.Double(data.Slope), expected);
        ScanCase.Near(expectedY, output, 1e-5, "y");
        ScanCase.Near(expectedEnd, end.ToArray(), 1e-5, "end");
        ScanCase.Near(expected.X, gradients[0].ToArray(), 1e-5, "dx");
        ScanCase.Near([.. expected.B.Zip(expected.C, (u, v) => u + v)], gradients[1].ToArray(), 1e-5, "dB + dC");
        ScanCase.Near(expected.Steps, gradients[2].ToArray(), 1e-5, "d(dt)");

        // Without a gradient nothing is kept and the result is the same.
        using var plain = new Tape(device, recording: false);
        Variable Constant(float[] of, int columns) => new(device.From(of, 70, columns));
        Variable again = plain.StateSpace(
            shape, Constant(data.X, 16), Constant(data.B, 16), Constant(data.B, 16), Constant(data.Steps, 2), device.From(data.A, 2), device.From(data.D, 2), start);
        Assert.False(again.RequiresGradient);
        Assert.Equal(output, again.Value.ToArray());
    }

    [Fact]
    public void EveryMismatchNamesItsArgument()
    {
        var shape = new StateSpaceShape(1, 4, 2, 1, 3, 5);
        Tensor x = twins.Empty(4, 6), shared = twins.Empty(4, 5), steps = twins.Empty(4, 2), two = twins.Empty(2), state = twins.Empty(6, 5);
        var inputs = new ScanInputs(x, shared, shared, steps, two, two);
        var gradients = new ScanGradients(x, shared, shared, steps);
        (string Name, Action<IKernels> Call)[] calls =
        [
            ("shape", k => k.StateSpaceForward(shape with { Groups = 3 }, inputs, null, x, null, null)),
            ("shape", k => k.StateSpaceForward(shape with { Length = 0 }, inputs, null, x, null, null)),
            ("x", k => k.StateSpaceForward(shape, inputs with { X = shared }, null, x, null, null)),
            ("b", k => k.StateSpaceForward(shape, inputs with { B = x }, null, x, null, null)),
            ("c", k => k.StateSpaceForward(shape, inputs with { C = x }, null, x, null, null)),
            ("stepSizes", k => k.StateSpaceForward(shape, inputs with { StepSizes = x }, null, x, null, null)),
            ("a", k => k.StateSpaceForward(shape, inputs with { A = x }, null, x, null, null)),
            ("d", k => k.StateSpaceForward(shape, inputs with { D = x }, null, x, null, null)),
            ("y", k => k.StateSpaceForward(shape, inputs, null, shared, null, null)),
            ("start", k => k.StateSpaceForward(shape, inputs, x, x, null, null)),
            ("end", k => k.StateSpaceForward(shape, inputs, state, x, x, null)),
            ("chunkStates", k => k.StateSpaceForward(shape, inputs, null, x, null, x)),
            ("chunkStates", k => k.StateSpaceBackward(shape, inputs, x, x, gradients)),
            ("dy", k => k.StateSpaceBackward(shape, inputs, state, shared, gradients)),
            ("dx", k => k.StateSpaceBackward(shape, inputs, state, x, gradients with { X = two })),
            ("db", k => k.StateSpaceBackward(shape, inputs, state, x, gradients with { B = two })),
            ("dc", k => k.StateSpaceBackward(shape, inputs, state, x, gradients with { C = two })),
            ("dStepSizes", k => k.StateSpaceBackward(shape, inputs, state, x, gradients with { StepSizes = two })),
        ];
        foreach ((string name, Action<IKernels> call) in calls)
        {
            Assert.Equal(name, Assert.ThrowsAny<ArgumentException>(() => call(twins.Scalar)).ParamName);
            Assert.ThrowsAny<ArgumentException>(() => call(twins.Simd(128, 1)));
        }
    }
}
