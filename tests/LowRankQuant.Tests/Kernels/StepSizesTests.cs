using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Sequences;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Step sizes of recurrences: values, gradient, twins, tape.</summary>
public class StepSizesTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Fact]
    public void FarFromZeroAllDigitsAreKept()
    {
        float[] x = [-80, -30, -17, -10, -1, 0, 1, 10, 17, 30, 90, 1e6f];
        double[] expected = Array.ConvertAll(x, Softplus), reference = new double[x.Length];
        Reference.StepSizesForward<double>(ScanCase.Double(x), new double[x.Length], 0, float.PositiveInfinity, reference);
        for (int i = 0; i < x.Length; i++) Assert.Equal(expected[i], reference[i], 1e-14 * expected[i]);
        foreach (IKernels kernels in KernelTwins.Widths.Select(bits => twins.Simd(bits, 1)).Append(twins.Scalar))
        {
            Tensor y = twins.Empty(1, x.Length);
            kernels.StepSizesForward(twins.From(x, 1, x.Length), twins.From(new float[x.Length], x.Length), 0, float.PositiveInfinity, y);
            for (int i = 0; i < x.Length; i++) Assert.Equal(expected[i], y.Span[i], 5e-7 * expected[i]);
        }

        // The series of log(1 + z) where z is small.
        static double Softplus(float v)
        {
            double z = Math.Exp(-Math.Abs((double)v));
            double log = z < 1e-3 ? z * (1 - (z / 2) + (z * z / 3) - (z * z * z / 4) + (z * z * z * z / 5)) : Math.Log(1 + z);
            return Math.Max(v, 0.0) + log;
        }
    }

    [Fact]
    public void ReferenceHasItsGradientAndNoneWhereItIsClamped()
    {
        var random = new SeededRandom(51);
        double[] x = Random(random, 60, 2), bias = Random(random, 6), dy = Random(random, 60), y = new double[60], dx = new double[60];
        double Loss()
        {
            Reference.StepSizesForward<double>(x, bias, 0.3f, 1.5f, y);
            return Dot(dy, y);
        }

        Loss();
        Reference.StepSizesBackward<double>(dy, x, bias, 0.3f, 1.5f, dx);
        Check(Loss, x, dx, "d(dt)");
        Assert.Contains((double)0.3f, y);
        Assert.Contains((double)1.5f, y);
        for (int i = 0; i < 60; i++) Assert.Equal(y[i] == 0.3f || y[i] == 1.5f, dx[i] == 0);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 17)]
    [InlineData(70, 300)]
    public void TwinsAgree(int rows, int n)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n));
        float[] a = KernelTwins.Random(random, rows * n, 3), b = KernelTwins.Random(random, n), d = KernelTwins.Random(random, rows * n);
        foreach ((float low, float high) in new[] { (0f, float.PositiveInfinity), (0.1f, 1f) })
        {
            twins.Compare(kernels =>
            {
                Tensor x = twins.From(a, rows, n), bias = twins.From(b, n), y = twins.Empty(rows, n), inPlace = twins.From(d, rows, n);
                kernels.StepSizesForward(x, bias, low, high, y);
                kernels.StepSizesBackward(inPlace, x, bias, low, high, inPlace);
                return [y, inPlace];
            });
        }
    }

    [Fact]
    public void TheTapeGivesTheGradient()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        float[] x = [-2, 0.5f, 3, 40, 1, -0.25f], bias = [0.5f, -0.5f, 0], slope = [1, 2, -1, 3, 0.5f, -2];
        double[] expected = new double[6], gradient = new double[6];
        Reference.StepSizesForward<double>(ScanCase.Double(x), ScanCase.Double(bias), 0.3f, 20, expected);
        Reference.StepSizesBackward<double>(ScanCase.Double(slope), ScanCase.Double(x), ScanCase.Double(bias), 0.3f, 20, gradient);
        Tensor dx = device.Empty(2, 3);
        using var tape = new Tape(device, recording: true);
        Variable y = tape.StepSizes(new Variable(device.From(x, 2, 3), dx), device.From(bias, 3), 0.3f, 20);
        ScanCase.Near(expected, y.Value.ToArray(), 1e-6, "dt");
        tape.Backward(y, device.From(slope, 2, 3));
        ScanCase.Near(gradient, dx.ToArray(), 1e-6, "d(dt)");
        Assert.Equal(0, dx.Span[0]);
        Assert.Equal(0, dx.Span[3]);
    }

    [Fact]
    public void EveryMismatchNamesItsArgument()
    {
        Tensor x = twins.Empty(4, 6), six = twins.Empty(6), four = twins.Empty(4);
        (string Name, Action<IKernels> Call)[] calls =
        [
            ("bias", k => k.StepSizesForward(x, four, 0, 1, x)),
            ("low", k => k.StepSizesForward(x, six, 2, 1, x)),
            ("low", k => k.StepSizesForward(x, six, float.NaN, 1, x)),
            ("y", k => k.StepSizesForward(x, six, 0, 1, six)),
            ("dy", k => k.StepSizesBackward(six, x, six, 0, 1, x)),
            ("dx", k => k.StepSizesBackward(x, x, six, 0, 1, six)),
        ];
        foreach ((string name, Action<IKernels> call) in calls)
        {
            Assert.Equal(name, Assert.ThrowsAny<ArgumentException>(() => call(twins.Scalar)).ParamName);
            Assert.ThrowsAny<ArgumentException>(() => call(twins.Simd(128, 1)));
        }
    }
}
