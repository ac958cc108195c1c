using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Functions with constants, the gate of gpt-oss, products by rows, views and picked rows: formula, gradient, twins, tape.</summary>
public class CurveTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    private static readonly Curve[] Curves = [Curve.Clamp(0.8f), Curve.SoftCap(1.5f), Curve.Xielu(0.7f, 1.1f, 0.5f, -1e-6f)];

    public static TheoryData<int> Numbers => [0, 1, 2];

    [Theory]
    [MemberData(nameof(Numbers))]
    public void ReferenceHasItsGradient(int number)
    {
        var random = new SeededRandom(21);
        double[] x = [.. Random(random, 30, 2), 0.3, -0.3, 4, -5], dy = Random(random, x.Length), y = new double[x.Length], dx = new double[x.Length];
        double Loss()
        {
            Reference.CurveForward<double>(Curves[number], x, y);
            return Dot(dy, y);
        }

        Reference.CurveBackward<double>(Curves[number], dy, x, dx);
        Check(Loss, x, dx, "dx");
    }

    [Fact]
    public void ValuesAreThoseOfTheFormulas()
    {
        var y = new double[4];
        Reference.CurveForward<double>(Curve.Clamp(2), [-3, -2, 1, 5], y);
        Assert.Equal([-2, -2, 1, 2], y);
        Reference.CurveForward<double>(Curve.SoftCap(2), [0, 2, -2, 100], y);
        Assert.Equal([0, 2 * Math.Tanh(1), -2 * Math.Tanh(1), 2], y);
        Reference.CurveForward<double>(Curve.Xielu(0.5f, 0.25f, 0.5f, 0), [2, 0, -1, -30], y);
        double[] expected = [(0.5 * 4) + 1, 0, (0.25 * (Math.Exp(-1) - 1 + 1)) - 0.5, (0.25 * (Math.Exp(-30) - 1 + 30)) - 15];
        for (int i = 0; i < 4; i++) Assert.Equal(expected[i], y[i], 1e-14);
        Reference.ClampedGateForward<double>(new ClampedGate(1.702f, 7), [1, 9, -9, 1], [0.5, 0.5, 0.5, -20], y);
        double Gate(double g, double u) => (u + 1) * g / (1 + Math.Exp(-(double)1.702f * g));
        expected = [Gate(1, 0.5), Gate(7, 0.5), Gate(-9, 0.5), Gate(1, -7)];
        for (int i = 0; i < 4; i++) Assert.Equal(expected[i], y[i], 1e-14);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void ALimitIsANumberAboveZero(float limit)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Curve.Clamp(limit));
        Assert.Throws<ArgumentOutOfRangeException>(() => Curve.SoftCap(limit));
    }

    [Fact]
    public void TheClampedGateHasItsGradient()
    {
        var random = new SeededRandom(22);
        var gate = new ClampedGate(1.702f, 1.2f);
        double[] g = Random(random, 40, 1.5), u = Random(random, 40, 1.5), dy = Random(random, 40), y = new double[40], dg = new double[40], du = new double[40];
        double Loss()
        {
            Reference.ClampedGateForward<double>(gate, g, u, y);
            return Dot(dy, y);
        }

        Reference.ClampedGateBackward<double>(gate, dy, g, u, dg, du);
        Check(Loss, g, dg, "dGate");
        Check(Loss, u, du, "dUp");
        Assert.Contains(0.0, dg);
        Assert.Contains(0.0, du);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 17)]
    [InlineData(70, 300)]
    public void TwinsAgree(int rows, int n)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n));
        float[] a = KernelTwins.Random(random, rows * n, 3), b = KernelTwins.Random(random, rows * n), d = KernelTwins.Random(random, rows * n);
        float[] f = KernelTwins.Random(random, rows);
        foreach (Curve curve in Curves)
        {
            twins.Compare(
                kernels =>
                {
                    Tensor x = twins.From(a, rows, n), y = twins.Empty(rows, n), inPlace = twins.From(d, rows, n);
                    kernels.CurveForward(curve, x, y);
                    kernels.CurveBackward(curve, inPlace, x, inPlace);
                    return [y, inPlace];
                },
                3e-6,
                curve.ToString());
        }
        twins.Compare(
            kernels =>
            {
                Tensor gate = twins.From(a, rows, n), up = twins.From(b, rows, n), dy = twins.From(d, rows, n), factors = twins.From(f, rows);
                Tensor y = twins.Empty(rows, n), dGate = twins.Empty(rows, n), dUp = twins.Empty(rows, n), product = twins.Empty(rows, n);
                Tensor scaled = twins.Empty(rows, n), dots = twins.Empty(rows), cycle = twins.Empty(rows, n);
                kernels.ClampedGateForward(new ClampedGate(1.702f, 1.5f), gate, up, y);
                kernels.ClampedGateBackward(new ClampedGate(1.702f, 1.5f), dy, gate, up, dGate, dUp);
                kernels.Multiply(gate, up, product);
                kernels.ScaleRows(gate, factors, scaled);
                kernels.ScaleRows(gate, twins.From([2f], 1), cycle);
                kernels.RowDots(gate, up, dots);
                return [y, dGate, dUp, product, scaled, cycle, dots];
            },
            5e-6);
    }

    [Fact]
    public void XieluNearZeroKeepsItsDigits()
    {
        float[] a = [-1e-4f, -1e-3f, -0.05f, -0.0999f, -0.1001f];
        var expected = new double[a.Length];
        Reference.CurveForward<double>(Curve.Xielu(0.7f, 1.1f, 0, -1e-6f), [.. a.Select(x => (double)x)], expected);
        Tensor y = twins.Empty(a.Length);
        twins.Simd(KernelTwins.Widths.First(), 1).CurveForward(Curve.Xielu(0.7f, 1.1f, 0, -1e-6f), twins.From(a, a.Length), y);
        float[] actual = y.ToArray();

        // What is left of e^x - 1 - x after the cut at -1e-6 is of the size of x itself.
        for (int i = 0; i < a.Length; i++) Assert.Equal(expected[i], actual[i], 1e-6 * Math.Abs(a[i]));
    }

    [Fact]
    public void TheTapeGivesTheGradientsOfRowsViewsAndProducts()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var random = new SeededRandom(23);
        float[] values = KernelTwins.Random(random, 12), factors = KernelTwins.Random(random, 4), seed = KernelTwins.Random(random, 12);
        int[] picked = [2, 0, 2, 1], onto = [1, 1, 3, 0];
        Tensor x = device.From(values, 4, 3), dx = device.Empty(4, 3), f = device.From(factors, 4), df = device.Empty(4);
        using (var tape = new Tape(device, recording: true))
        {
            var input = new Variable(x, dx);
            Variable rows = tape.ScaleRows(tape.PickRows(input, picked), new Variable(f, df));
            Variable sum = tape.Add(input, tape.SumRows(4, 3, [(tape.View(tape.View(rows, 12), 4, 3), onto)]));
            tape.Backward(tape.Bend(Curve.SoftCap(3), sum), device.From(seed, 4, 3));
        }
        double[] parameters = [.. values.Concat(factors).Select(value => (double)value)];
        double Loss()
        {
            double loss = 0;
            var sum = parameters[..12];
            for (int i = 0; i < 4; i++)
            {
                for (int j = 0; j < 3; j++) sum[(onto[i] * 3) + j] += parameters[12 + i] * parameters[(picked[i] * 3) + j];
            }
            for (int i = 0; i < 12; i++) loss += seed[i] * 3 * Math.Tanh(sum[i] / 3);
            return loss;
        }

        float[] actual = [.. dx.ToArray(), .. df.ToArray()];
        for (int i = 0; i < parameters.Length; i++)
        {
            double kept = parameters[i];
            parameters[i] = kept + 1e-5;
            double above = Loss();
            parameters[i] = kept - 1e-5;
            double slope = (above - Loss()) / 2e-5;
            parameters[i] = kept;
            Assert.Equal(slope, actual[i], 2e-5);
        }
    }
}
