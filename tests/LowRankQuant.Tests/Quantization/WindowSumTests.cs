using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Tests.Quantization;

/// <summary>Sums over windows do not depend on who computes which run of them, and generators of a run do not share their streams.</summary>
public sealed class WindowSumTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(12)]
    [InlineData(100)]
    public void RunsOfWindowsAreSummedByThemselves(int windows)
    {
        double[] values = [.. Enumerable.Range(0, windows).Select(i => Math.Sin(i + 1) * Math.Pow(10, i % 9))];
        var sum = new WindowSum(windows);
        foreach (double value in values) sum.Add(value);
        double expected = 0;
        for (int segment = 0; segment < WindowSegments.Count; segment++)
        {
            double part = 0;
            for (int i = 0; i < windows; i++)
            {
                if (i * WindowSegments.Count / windows == segment) part += values[i];
            }
            expected += part;
        }
        Assert.Equal(expected, sum.Total);
    }

    [Fact]
    public void MatricesAreSummedInTheSameOrder()
    {
        using var device = new CpuDevice();
        const int windows = 30, size = 5;
        var matrix = new SegmentedMatrix(size);
        WindowSum[] sums = [.. Enumerable.Range(0, size).Select(_ => new WindowSum(windows))];
        SeededRandom random = SeededRandom.Derive(7);
        for (int window = 0; window < windows; window++)
        {
            float[] values = [.. Enumerable.Range(0, size).Select(_ => (float)(random.NextGaussian() * Math.Pow(10, random.NextInt32(8))))];
            using Tensor tensor = device.From(values, size);
            matrix.Add(tensor);
            for (int i = 0; i < size; i++) sums[i].Add(values[i]);
            if (WindowSegments.EndsSegment(window, windows)) matrix.EndSegment();
        }
        Assert.Equal(sums.Select(sum => sum.Total), matrix.Total);
    }

    [Fact]
    public void AWeightsGradientIsTheSumOfItsWindows()
    {
        using var device = new CpuDevice();
        const int rows = 37, inFeatures = 24, outFeatures = 17, windows = 3;
        SeededRandom random = SeededRandom.Derive(11);
        using Tensor x = Random(windows * rows, inFeatures), target = Random(windows * rows, outFeatures), weight = Random(outFeatures, inFeatures);
        using Tensor together = device.Zeros(outFeatures, inFeatures), apart = device.Zeros(outFeatures, inFeatures), one = device.Zeros(outFeatures, inFeatures);
        using (var tape = new Tape(device, recording: true) { Windows = [0, rows, 2 * rows, 3 * rows] })
            tape.SquaredErrorAndBackward(tape.Linear(new Variable(x), new Variable(weight, together)), target, null, 1);
        for (int window = 0; window < windows; window++)
        {
            using var tape = new Tape(device, recording: true);
            tape.SquaredErrorAndBackward(
                tape.Linear(new Variable(x.RowRange(window * rows, rows)), new Variable(weight, one)), target.RowRange(window * rows, rows), null, 1);
            device.Kernels.AddScaled(one, 1, apart);
        }
        Assert.Equal(apart.ToArray(), together.ToArray());

        Tensor Random(int n, int columns) => device.From([.. Enumerable.Range(0, n * columns).Select(_ => (float)random.NextGaussian())], n, columns);
    }

    [Fact]
    public void NoTwoGeneratorsOfARunShareASeed()
    {
        var seeds = new HashSet<ulong>();
        for (int block = 0; block < 80; block++)
        {
            for (ulong run = 0; run < 3; run++) Assert.True(seeds.Add(Seeds.Order(run, block)));
            for (int linear = 0; linear < 400; linear++) Assert.True(seeds.Add(Seeds.Factor(0, block, linear)));
        }
    }
}
