using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Sequences;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Mamba-1's selective scan: formula, gradient, twins, states handed on, tape.</summary>
public class SelectiveScanTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Fact]
    public void ValuesAreThoseOfTheFormulas()
    {
        // Two channels, a state of two elements, two tokens; exp(dt A) is 1/2 and 1/4 in the first channel, 1/4 and 1/2 in the second with dt 1.
        double ln2 = Math.Log(2);
        double[] x = [1, 2, 3, 4], b = [1, 2, 3, 4], c = [1, 1, 1, 10], dt = [1, 1, 2, 1], a = [-ln2, -2 * ln2, -2 * ln2, -ln2], d = [1, 0];
        double[] start = [2, 4, 8, 16], y = new double[4], end = new double[4];
        Reference.SelectiveScanForward<double>(new SelectiveScanShape(1, 2, 2, 2), x, b, c, dt, a, d, start, y, end, []);

        // Channel 0: (1 + 1, 1 + 2) = (2, 3), then (2/4 + 2*3*3, 3/16 + 2*3*4); channel 1: (2 + 2, 8 + 4) = (4, 12), then (1 + 12, 6 + 16).
        double[] states = [18.5, 24.1875, 13, 22], outputs = [5 + 1, 16, 18.5 + 241.875 + 3, 13 + 220];
        for (int i = 0; i < 4; i++) Assert.Equal(states[i], end[i], 1e-12);
        for (int i = 0; i < 4; i++) Assert.Equal(outputs[i], y[i], 1e-12);
    }

    [Theory]
    [InlineData(5, 0.7)]
    [InlineData(67, 0.05)]
    public void ReferenceHasItsGradient(int length, double decay)
    {
        var shape = new SelectiveScanShape(2, length, 5, 3);
        SelectiveScanCase data = SelectiveScanCase.Random(shape, decay, 41);
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
    [InlineData(1, 1, 1, 1)]
    [InlineData(2, 2, 16, 16)]
    [InlineData(1, 17, 33, 16)]
    [InlineData(1, 63, 128, 8)]
    [InlineData(2, 64, 20, 16)]
    [InlineData(1, 65, 130, 7)]
    [InlineData(2, 130, 300, 16)]
    public void TwinsAgree(int batch, int length, int channels, int stateSize)
    {
        var shape = new SelectiveScanShape(batch, length, channels, stateSize);
        foreach (double decay in new[] { 1e-4, 0.05, 1, 60 })
            SelectiveScanCase.Random(shape, decay, (ulong)(length + channels)).CompareWithTwin(twins, 4e-6, 4e-6, $"decay {decay}");
    }

    [Theory]
    [InlineData(130, 65)]
    [InlineData(100, 3, 70, 99)]
    [InlineData(6, 1, 2, 3, 4, 5)]
    public void StatesCanBeHandedOn(int length, params int[] cuts)
    {
        SelectiveScanCase data = SelectiveScanCase.Random(new SelectiveScanShape(2, length, 37, 16), 0.1, 43);
        data.ComparePartsWithWhole(twins, twins.Scalar, cuts, 1e-6);
        foreach (int bits in KernelTwins.Widths) data.ComparePartsWithWhole(twins, twins.Simd(bits, 2), cuts, 1e-6);
    }

    [Fact]
    public void TheTapeGivesTheGradients()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var shape = new SelectiveScanShape(1, 70, 6, 6);
        SelectiveScanCase data = SelectiveScanCase.Random(shape, 0.3, 44);
        Tensor end = device.Empty(6, 6), start = device.From(data.Start, 6, 6);
        Tensor[] gradients = [device.Empty(70, 6), device.Empty(70, 6), device.Empty(70, 6)];
        float[] output;
        using (var tape = new Tape(device, recording: true))
        {
            // What is written is also what is read, so that its gradient has two parts.
            var x = new Variable(device.From(data.X, 70, 6), gradients[0]);
            var shared = new Variable(device.From(data.B, 70, 6), gradients[1]);
            var steps = new Variable(device.From(data.Steps, 70, 6), gradients[2]);
            Variable y = tape.SelectiveScan(shape, x, shared, shared, steps, device.From(data.A, 6, 6), device.From(data.D, 6), start, end);
            output = y.Value.ToArray();
            tape.Backward(y, device.From(data.Slope, 70, 6));
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
    }

    [Fact]
    public void EveryMismatchNamesItsArgument()
    {
        var shape = new SelectiveScanShape(1, 4, 6, 5);
        Tensor x = twins.Empty(4, 6), shared = twins.Empty(4, 5), rates = twins.Empty(6, 5), six = twins.Empty(6);
        var inputs = new ScanInputs(x, shared, shared, x, rates, six);
        var gradients = new ScanGradients(x, shared, shared, x);
        (string Name, Action<IKernels> Call)[] calls =
        [
            ("shape", k => k.SelectiveScanForward(shape with { StateSize = 0 }, inputs, null, x, null, null)),
            ("x", k => k.SelectiveScanForward(shape, inputs with { X = shared }, null, x, null, null)),
            ("b", k => k.SelectiveScanForward(shape, inputs with { B = x }, null, x, null, null)),
            ("c", k => k.SelectiveScanForward(shape, inputs with { C = x }, null, x, null, null)),
            ("stepSizes", k => k.SelectiveScanForward(shape, inputs with { StepSizes = shared }, null, x, null, null)),
            ("a", k => k.SelectiveScanForward(shape, inputs with { A = x }, null, x, null, null)),
            ("d", k => k.SelectiveScanForward(shape, inputs with { D = x }, null, x, null, null)),
            ("y", k => k.SelectiveScanForward(shape, inputs, null, shared, null, null)),
            ("start", k => k.SelectiveScanForward(shape, inputs, x, x, null, null)),
            ("end", k => k.SelectiveScanForward(shape, inputs, rates, x, x, null)),
            ("chunkStates", k => k.SelectiveScanForward(shape, inputs, null, x, null, x)),
            ("chunkStates", k => k.SelectiveScanBackward(shape, inputs, x, x, gradients)),
            ("dy", k => k.SelectiveScanBackward(shape, inputs, rates, shared, gradients)),
            ("dStepSizes", k => k.SelectiveScanBackward(shape, inputs, rates, x, gradients with { StepSizes = six })),
        ];
        foreach ((string name, Action<IKernels> call) in calls)
        {
            Assert.Equal(name, Assert.ThrowsAny<ArgumentException>(() => call(twins.Scalar)).ParamName);
            Assert.ThrowsAny<ArgumentException>(() => call(twins.Simd(128, 1)));
        }
    }
}
