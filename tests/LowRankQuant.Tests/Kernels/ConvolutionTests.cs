using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Sequences;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>The causal convolution and the log decay: formula, gradient, twins, tape.</summary>
public class ConvolutionTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Fact]
    public void TheLastTapMeetsTheCurrentRow()
    {
        // Two columns, two sequences of three rows; the tail of the first sequence is (100, 200) and (300, 400), that of the second zero.
        double[] x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], weight = [100, 10, 1, 0, 0, 2], y = new double[12];
        Reference.ConvolveForward<double>(x, 2, 3, weight, [0.5, 0], [100, 200, 300, 400, 0, 0, 0, 0], y);
        Assert.Equal([13001.5, 4, 30013.5, 8, 135.5, 12, 7.5, 16, 79.5, 20, 801.5, 24], y);
        Reference.ConvolveForward<double>(x, 2, 3, weight, [], [], y);
        Assert.Equal([1, 4, 13, 8, 135, 12, 7, 16, 79, 20, 801, 24], y);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(7)]
    public void ReferenceHasItsGradient(int taps)
    {
        const int rows = 10, length = 5, columns = 3;
        var random = new SeededRandom(41);
        double[] x = Random(random, rows * columns), weight = Random(random, columns * taps), bias = Random(random, columns), dy = Random(random, x.Length);
        double[] tail = Random(random, 2 * (taps - 1) * columns), y = new double[x.Length], dx = new double[x.Length];
        double Loss()
        {
            Reference.ConvolveForward<double>(x, columns, length, weight, bias, tail, y);
            return Dot(dy, y);
        }

        Reference.ConvolveBackward<double>(dy, columns, length, weight, dx);
        Check(Loss, x, dx, "dx");
    }

    [Theory]
    [InlineData(1, 1, 1, 1)]
    [InlineData(6, 3, 17, 4)]
    [InlineData(4, 2, 33, 7)]
    [InlineData(140, 70, 64, 4)]
    [InlineData(300, 300, 130, 3)]
    [InlineData(5, 5, 5000, 4)]
    public void TwinsAgree(int rows, int length, int n, int taps)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n));
        int sequences = rows / length;
        float[] a = KernelTwins.Random(random, rows * n), w = KernelTwins.Random(random, n * taps), b = KernelTwins.Random(random, n);
        float[] before = KernelTwins.Random(random, sequences * (taps - 1) * n);
        twins.Compare(kernels =>
        {
            Tensor x = twins.From(a, rows, n), weight = twins.From(w, n, taps), bias = twins.From(b, n), tail = twins.From(before, sequences * (taps - 1), n);
            Tensor y = twins.Empty(rows, n), plain = twins.Empty(rows, n), dx = twins.Empty(rows, n);
            kernels.ConvolveForward(x, length, weight, bias, tail, y);
            kernels.ConvolveForward(x, length, weight, null, null, plain);
            kernels.ConvolveBackward(x, length, weight, dx);
            return [y, plain, dx];
        });
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    public void ATailPassedOnGivesTheWhole(int split)
    {
        const int length = 11, n = 20, taps = 4;
        var random = new SeededRandom(42);
        float[] x = KernelTwins.Random(random, length * n), w = KernelTwins.Random(random, n * taps);
        foreach (IKernels kernels in KernelTwins.Widths.Select(bits => twins.Simd(bits, 1)).Append(twins.Scalar))
        {
            Tensor whole = twins.Empty(length, n), first = twins.Empty(split, n), rest = twins.Empty(length - split, n), weight = twins.From(w, n, taps);
            kernels.ConvolveForward(twins.From(x, length, n), length, weight, null, null, whole);
            kernels.ConvolveForward(twins.From(x[..(split * n)], split, n), split, weight, null, null, first);
            float[] seen = [.. new float[(taps - 1) * n], .. x[..(split * n)]];
            kernels.ConvolveForward(twins.From(x[(split * n)..], length - split, n), length - split, weight, null, twins.From(seen[^((taps - 1) * n)..], taps - 1, n), rest);
            KernelTwins.Near(whole.ToArray(), [.. first.ToArray(), .. rest.ToArray()], 1e-6, "parts");
        }
    }

    [Fact]
    public void TheTapeGivesTheGradientOfBoth()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        const int rows = 8, length = 4, n = 3, taps = 3;
        var random = new SeededRandom(44);
        float[] x = KernelTwins.Random(random, rows * n), w = KernelTwins.Random(random, n * taps), negative = [-0.5f, -1, -2], bias = KernelTwins.Random(random, n);
        float[] seed = KernelTwins.Random(random, rows * n);
        Tensor dx = device.Empty(rows, n), weight = device.From(w, n, taps);
        using (var tape = new Tape(device, recording: true))
        {
            var input = new Variable(device.From(x, rows, n), dx);
            Variable once = tape.LogDecay(tape.CausalConvolution(input, length, weight), device.From(negative, n), device.From(bias, n));
            tape.Backward(tape.Add(once, tape.CausalConvolution(input, length, weight, device.From(bias, n))), device.From(seed, rows, n));
        }
        double[] values = [.. x.Select(value => (double)value)], wide = [.. w.Select(value => (double)value)], a = [.. negative.Select(value => (double)value)];
        double[] offset = [.. bias.Select(value => (double)value)], slope = [.. seed.Select(value => (double)value)];
        double[] y = new double[x.Length], expected = new double[x.Length];
        Reference.ConvolveForward<double>(values, n, length, wide, [], [], y);
        // a ln(1 + e^z) has the slope a / (1 + e^-z).
        double[] through = [.. y.Select((value, i) => slope[i] * a[i % n] / (1 + Math.Exp(-(value + offset[i % n]))))];
        Reference.ConvolveBackward<double>(through.Zip(slope, (u, v) => u + v).ToArray(), n, length, wide, expected);
        KernelTwins.Near([.. expected.Select(value => (float)value)], dx.ToArray(), 2e-6, "dx");
    }
}
