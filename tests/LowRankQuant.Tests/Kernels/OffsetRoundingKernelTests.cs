using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;

namespace LowRankQuant.Tests.Kernels;

/// <summary>What lrq+ adds to the fake quantizer: offsets in front of the rounding, zero points that are learned, ramps in the place of jumps.</summary>
public sealed class OffsetRoundingKernelTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    private const int Rows = 4, Columns = 6, GroupSize = 3, MaxCode = 7;

    [Theory]
    [InlineData(0)]
    [InlineData(0.37)] // a zero point that is a float, as where minima are stored
    [InlineData(-0.21)]
    public void GradientsAreThoseOfTheStraightThroughSurrogate(double fraction)
    {
        var random = new SeededRandom(18);
        double[] weight = Random(random, Rows * Columns, 1), offset = Random(random, Rows * Columns, 0.5), g = Random(random, Rows * Columns, 1);
        double[] logScale = [.. Random(random, weight.Length / GroupSize, 0.1).Select(value => value + Math.Log(0.3))], zero = [.. new double[] { 3, 4, 2, 5, 3, 6, 4, 5 }.Select(whole => whole + fraction)];
        double[] quantized = new double[weight.Length], residue = new double[weight.Length], slope = new double[weight.Length];
        Reference.FakeQuantizeForward<double>(weight, Columns, logScale, zero, default, default, default, MaxCode, quantized, residue, offset: offset, slope: slope);
        double Ratio(int i) => (weight[i] / Math.Exp(logScale[i / GroupSize])) + offset[i];
        double Code(int i) => Math.Round(Ratio(i) + zero[i / GroupSize]);
        double[] rounding = [.. Enumerable.Range(0, weight.Length).Select(i => Code(i) - zero[i / GroupSize] - Ratio(i))];
        int[] side = [.. Enumerable.Range(0, weight.Length).Select(i => Code(i) < 0 ? -1 : Code(i) > MaxCode ? 1 : 0)];
        Assert.InRange(side.Count(value => value != 0), 2, weight.Length - 2);
        double Loss()
        {
            double sum = 0;
            for (int i = 0; i < weight.Length; i++)
            {
                double end = -zero[i / GroupSize] + (side[i] > 0 ? MaxCode : 0);
                sum += g[i] * (side[i] == 0 ? Ratio(i) + rounding[i] : end) * Math.Exp(logScale[i / GroupSize]);
            }
            return sum;
        }

        Assert.Equal(g.Zip(quantized, (slope, value) => slope * value).Sum(), Loss(), 1e-12);
        double[] dOffset = new double[weight.Length], dZero = new double[zero.Length], dScale = new double[zero.Length];
        Reference.FakeQuantizeOffsetBackward<double>(g, logScale, slope, dOffset, dZero);
        Reference.FakeQuantizeBackward<double>(g, Columns, quantized, residue, default, dScale, default, default);
        Check(Loss, offset, dOffset);
        Check(Loss, zero, dZero);
        Check(Loss, logScale, dScale);
    }

    // What is learned of a minimum is the place of 0 among the codes, which is rounded to a whole code only where zero points are integers.
    [Fact]
    public void ALearnedZeroIsAFloatWhereMinimaAre()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        float[] weight = [-0.9f, -0.3f, 0.2f, 0.4f, 0.9f, 1.3f];
        Tensor learned = device.From([2.3f / FakeQuantizeParameters.ZeroUnit], 1, 1);
        foreach (bool whole in new[] { true, false })
        {
            using var tape = new Tape(device, recording: false);
            Variable rounded = tape.FakeQuantize(new FakeQuantizeParameters
            {
                Weight = device.From(weight, 1, 6),
                LogScale = new Variable(device.From([MathF.Log(0.25f)], 1, 1)),
                Zero = device.From([0f], 1, 1),
                MaxCode = MaxCode,
                ZeroPoint = new Variable(learned),
                HasWholeZeros = whole,
            });
            float zero = whole ? 2 : 2.3f;
            Assert.Equal(weight.Select(value => (Math.Clamp(MathF.Round((value / 0.25f) + zero), 0, MaxCode) - zero) * 0.25f), rounded.Value.ToArray(), (a, b) => Math.Abs(a - b) < 1e-6f);
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.2f)]
    [InlineData(0.5f)]
    public void KernelsAgree(float softness)
    {
        foreach ((int rows, int n, int groups) in new[] { (1, 1, 1), (3, 7, 1), (5, 33, 3), (4, 64, 2), (2, 130, 10) })
        {
            var random = new SeededRandom((ulong)((rows * 1000) + n));
            float[] w = Singles(random, rows * n, 1), v = Singles(random, rows * n, 0.5), g = Singles(random, rows * n, 1), delta = Singles(random, rows * n, 0.1);
            float[] scale = [.. Singles(random, rows * groups, 0.1).Select(value => value + MathF.Log(0.4f))], zero = [.. Enumerable.Range(0, rows * groups).Select(_ => (float)(2 + random.NextInt32(4)))];
            twins.Compare(
                kernels =>
                {
                    Tensor quantized = twins.Empty(rows, n), residue = twins.From(delta, rows, n), slope = twins.Empty(rows, n), upstream = twins.From(g, rows, n);
                    Tensor dScale = twins.Empty(rows, groups), dOffset = twins.Empty(rows, n), dZero = twins.Empty(rows, groups);
                    var arguments = new FakeQuantizeArguments
                    {
                        Weight = twins.From(w, rows, n),
                        LogScale = twins.From(scale, rows, groups),
                        Zero = twins.From(zero, rows, groups),
                        Delta = residue,
                        MaxCode = MaxCode,
                        Quantized = quantized,
                        Residue = residue,
                        Offset = twins.From(v, rows, n),
                        Slope = slope,
                        Softness = softness,
                    };
                    kernels.FakeQuantizeForward(arguments);
                    // The gradient of D takes the place of G, as in training.
                    kernels.FakeQuantizeBackward(arguments, new FakeQuantizeGradients { Upstream = upstream, Delta = upstream, LogScale = dScale, Offset = dOffset, Zero = dZero });
                    return [quantized, slope, upstream, dScale, dOffset, dZero];
                },
                1e-5,
                $"{rows} x {n}, {groups} groups");
        }
    }

    [Fact]
    public void RampsGoFromOneCodeToTheNext()
    {
        double[] values = [.. Enumerable.Range(-100, 201).Select(i => i / 40.0)], hard = Soft(0), none = Soft(0.5f), soft = Soft(0.1f);
        for (int i = 0; i < values.Length; i++)
        {
            double distance = Math.Abs(values[i] - Math.Round(values[i]));
            Assert.Equal(Math.Clamp(Math.Round(values[i]), -2, 2), hard[i], 1e-12);
            // A softness is a float.
            Assert.Equal(Math.Clamp(values[i], -2, 2), none[i], 1e-7);
            if (distance < 0.4) Assert.Equal(hard[i], soft[i], 1e-7);
            else if (Math.Abs(values[i]) < 2) Assert.Equal((Math.Floor(values[i]) + Math.Ceiling(values[i])) / 2, soft[i], 0.5 + 1e-7);
            if (i > 0) Assert.InRange(soft[i] - soft[i - 1], -1e-7, (0.025 / 0.2) + 1e-6);
        }

        double[] Soft(float softness)
        {
            var quantized = new double[values.Length];
            Reference.FakeQuantizeForward<double>(values, values.Length, [0], [2], default, default, default, 4, quantized, default, softness: softness);
            return quantized;
        }
    }

    [Fact]
    public void ALossInAMetricHasTheGradientOfItsFormula()
    {
        const int rows = 5, n = 4;
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var random = new SeededRandom(5);
        float[] root = Singles(random, n * n, 1), x = Singles(random, rows * n, 1), target = Singles(random, rows * n, 1), weights = [1, 2, 0.5f, 3, 1];
        var metric = new float[n * n];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                for (int k = 0; k < n; k++) metric[(i * n) + j] += root[(i * n) + k] * root[(j * n) + k];
        using Tensor m = device.From(metric, n, n), t = device.From(target, rows, n), w = device.From(weights, rows), values = device.From(x, rows, n), gradient = device.Zeros(rows, n);
        double expected = 0;
        var slopes = new double[x.Length];
        for (int row = 0; row < rows; row++)
        {
            for (int i = 0; i < n; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    double left = x[(row * n) + i] - target[(row * n) + i], right = x[(row * n) + j] - target[(row * n) + j];
                    expected += 0.1 * weights[row] * left * right * metric[(i * n) + j];
                    slopes[(row * n) + i] += 0.2 * weights[row] * right * metric[(i * n) + j];
                }
            }
        }
        using var tape = new Tape(device, recording: true) { Windows = [0, 2, rows] };
        Variable leaf = new(values, gradient), y = tape.Add(leaf, new Variable(device.Zeros(rows, n)));
        Assert.Equal(expected, tape.SquaredErrorAndBackward(y, t, w, 0.1f, m), 1e-4);
        float[] found = gradient.ToArray();
        for (int i = 0; i < found.Length; i++) Assert.Equal(slopes[i], found[i], 1e-4);
    }

    private static void Check(Func<double> loss, double[] values, double[] gradient)
    {
        const double step = 1e-5;
        for (int i = 0; i < values.Length; i++)
        {
            double at = values[i];
            values[i] = at + step;
            double above = loss();
            values[i] = at - step;
            double below = loss();
            values[i] = at;
            Assert.Equal((above - below) / (2 * step), gradient[i], 1e-7);
        }
    }

    private static double[] Random(SeededRandom random, int count, double size) => [.. Enumerable.Range(0, count).Select(_ => size * random.NextGaussian())];

    private static float[] Singles(SeededRandom random, int count, double size) => [.. Random(random, count, size).Select(value => (float)value)];
}
