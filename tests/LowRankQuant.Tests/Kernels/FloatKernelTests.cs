using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Kernels whose codes are floats of few bits.</summary>
public sealed class FloatKernelTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Theory]
    [InlineData(4, 1, 32, 1)]
    [InlineData(4, 7, 96, 3)]
    [InlineData(4, 5, 47, 1)]
    [InlineData(8, 3, 128, 8)]
    public void FakeQuantizerOfFloats(int bits, int rows, int n, int groups)
    {
        SmallFloat floats = bits == 4 ? SmallFloat.E2M1 : SmallFloat.E4M3;
        var random = new SeededRandom((ulong)((rows * 100) + n));
        float[] w = KernelTwins.Random(random, rows * n), delta = KernelTwins.Random(random, rows * n, 0.1), g = KernelTwins.Random(random, rows * n);
        float[] scale = [.. KernelTwins.Random(random, rows * groups, 0.1).Select(value => value + MathF.Log(1.5f / floats.Largest))];
        twins.Compare(
            kernels =>
            {
                Tensor quantized = twins.Empty(rows, n), residue = twins.From(delta, rows, n), dScale = twins.Empty(rows, groups);
                var arguments = new FakeQuantizeArguments
                {
                    Weight = twins.From(w, rows, n),
                    LogScale = twins.From(scale, rows, groups),
                    Zero = twins.From(new float[rows * groups], rows, groups),
                    Delta = residue,
                    MaxCode = (1 << bits) - 1,
                    Floats = floats,
                    Quantized = quantized,
                    Residue = residue,
                };
                kernels.FakeQuantizeForward(arguments);
                float[] residues = residue.ToArray();
                Tensor dDelta = twins.Empty(rows, n);
                kernels.FakeQuantizeBackward(arguments, new FakeQuantizeGradients { Upstream = twins.From(g, rows, n), Delta = dDelta, LogScale = dScale });
                return [quantized, twins.From(residues, rows, n), dDelta, dScale];
            },
            1e-5);
    }

    /// <summary>q is the nearest number times the scale, and the gradient is 0 where a value lies beyond the largest.</summary>
    [Theory]
    [InlineData("E2M1")]
    [InlineData("E4M3")]
    public void ValuesAreNearestNumbersTimesTheScale(string name)
    {
        SmallFloat floats = name == "E2M1" ? SmallFloat.E2M1 : SmallFloat.E4M3;
        const int n = 64;
        var random = new SeededRandom(5);
        double[] weight = [.. Enumerable.Range(0, n).Select(_ => random.NextGaussian())], quantized = new double[n], residue = new double[n];
        double scale = 1.2 / floats.Largest;
        Reference.FakeQuantizeForward<double>(weight, n, [Math.Log(scale)], [0], default, default, default, 0, quantized, residue, floats);
        int clipped = 0;
        for (int i = 0; i < n; i++)
        {
            Assert.Equal(floats.Round(weight[i] / scale) * scale, quantized[i], 1e-12);
            bool beyond = Math.Abs(floats.RoundOpen(weight[i] / scale)) > floats.Largest;
            Assert.Equal(beyond ? 0 : weight[i], residue[i], 1e-12);
            if (beyond) clipped++;
        }
        Assert.InRange(clipped, 1, n - 1);
    }

    [Theory]
    [InlineData(ActivationScope.Token, 33)]
    [InlineData(ActivationScope.Token, 128)]
    [InlineData(ActivationScope.TokenGroup, 256)]
    public void ActivationsOfFloats(ActivationScope scope, int n)
    {
        ActivationGrid grid = scope == ActivationScope.Token ? ActivationGrid.Float8Token : ActivationGrid.Float8Groups;
        const int rows = 5;
        int units = grid.GroupSize > 0 ? n / grid.GroupSize : 1;
        var random = new SeededRandom(9);
        float[] x = KernelTwins.Random(random, rows * n, 3), g = KernelTwins.Random(random, rows * n);
        // A row of zeros.
        Array.Clear(x, n, n);
        twins.Compare(
            kernels =>
            {
                Tensor y = twins.Empty(rows, n), dx = twins.Empty(rows, n);
                var arguments = new ActivationQuantizerArguments { Grid = grid, X = twins.From(x, rows, n), Step = twins.Empty(rows, units), ZeroPoint = twins.Empty(rows, units) };
                kernels.QuantizeActivations(arguments, y);
                kernels.QuantizeActivationsBackward(arguments, new ActivationQuantizerGradients { Upstream = twins.From(g, rows, n), Input = dx, ThroughRange = true });
                return [y, arguments.Step, dx];
            },
            0);
        float[] step = new float[rows * units], value = new float[x.Length];
        Reference.QuantizeActivations<float>(grid, x, n, step, new float[step.Length], value);
        for (int i = 0; i < x.Length; i++)
        {
            float s = step[i / (n / units)];
            Assert.Equal(SmallFloat.E4M3.Round(x[i] / s) * s, value[i]);
        }
        Assert.All(step, s => Assert.True(s > 0));
    }

    [Fact]
    public void FloatsHaveNoIntegerCodes()
    {
        using var device = new CpuDevice();
        using var tape = new Tape(device, recording: false);
        var x = new Variable(device.From(new float[64], 2, 32));
        Assert.Throws<ArgumentException>(() => tape.ActivationCodes(x, ActivationGrid.Float8Token, null));
        Assert.Throws<ArgumentException>(() => new ActivationGrid(8, false, ActivationScope.Token, ActivationRule.Float8));
    }
}
