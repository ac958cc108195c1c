using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Columns taken out and put side by side: values, gradient, twins, tape.</summary>
public class ColumnTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Fact]
    public void ReferenceHasItsGradient()
    {
        const int rows = 3, repeat = 2, n = 5, m = 6, start = 1, place = 2, width = 3;
        var random = new SeededRandom(31);
        double[] x = Random(random, rows * n), dy = Random(random, rows * repeat * m), dx = new double[x.Length];
        double Loss()
        {
            var y = new double[dy.Length];
            Reference.CopyColumns<double>(x, n, start, repeat, y, m, place, width);
            return Dot(dy, y);
        }

        Reference.AddColumns<double>(dy, m, place, repeat, dx, n, start, width);
        Check(Loss, x, dx, "dx");
        // Columns that are not taken have none.
        for (int r = 0; r < rows; r++) Assert.Equal([0, 0], [dx[r * n], dx[(r * n) + n - 1]]);
    }

    [Theory]
    [InlineData(1, 1, 1, 0, 1)]
    [InlineData(3, 1, 40, 3, 33)]
    [InlineData(5, 4, 24, 16, 8)]
    [InlineData(130, 3, 70, 1, 69)]
    public void TwinsAgree(int rows, int repeat, int n, int start, int width)
    {
        var random = new SeededRandom((ulong)((rows * 100) + n));
        float[] values = KernelTwins.Random(random, rows * n), gradient = KernelTwins.Random(random, rows * repeat * (width + 5)), before = KernelTwins.Random(random, rows * n);
        twins.Compare(kernels =>
        {
            Tensor y = twins.From(gradient, rows * repeat, width + 5), dx = twins.From(before, rows, n);
            kernels.CopyColumns(twins.From(values, rows, n), start, repeat, y, 2, width);
            kernels.AddColumns(twins.From(gradient, rows * repeat, width + 5), 2, repeat, dx, start, width);
            return [y, dx];
        });
    }

    [Fact]
    public void TheTapeGivesTheGradientsOfPartsAndOfWhatIsShared()
    {
        // y = [tanh of columns 1 and 2 of x, s for two rows each, column 0 of x]: columns of one matrix, one of them twice, and rows that several share.
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var random = new SeededRandom(32);
        float[] x = KernelTwins.Random(random, 12), s = KernelTwins.Random(random, 4), seed = KernelTwins.Random(random, 4 * 7);
        Tensor dx = device.Empty(4, 3), ds = device.Empty(2, 2);
        float[] y;
        using (var tape = new Tape(device, recording: true))
        {
            Variable input = new(device.From(x, 4, 3), dx), shared = new(device.From(s, 2, 2), ds), constant = new(device.From([1, 2, 3, 4], 4, 1));
            Variable joined = tape.JoinColumns(tape.Bend(Curve.SoftCap(1), tape.Columns(input, 1, 2)), shared, tape.Columns(input, 0, 1), constant, tape.Columns(input, 2, 1));
            y = joined.Value.ToArray();
            tape.Backward(joined, device.From(seed, 4, 7));
        }
        for (int r = 0; r < 4; r++)
        {
            double t1 = Math.Tanh(x[(r * 3) + 1]), t2 = Math.Tanh(x[(r * 3) + 2]);
            double[] expected = [t1, t2, s[r / 2 * 2], s[(r / 2 * 2) + 1], x[r * 3], r + 1, x[(r * 3) + 2]];
            for (int j = 0; j < 7; j++) Assert.Equal(expected[j], y[(r * 7) + j], 1e-6);
            double[] slopes = [seed[(r * 7) + 4], seed[r * 7] * (1 - (t1 * t1)), (seed[(r * 7) + 1] * (1 - (t2 * t2))) + seed[(r * 7) + 6]];
            for (int j = 0; j < 3; j++) Assert.Equal(slopes[j], dx.ToArray()[(r * 3) + j], 2e-6);
        }
        for (int i = 0; i < 4; i++) Assert.Equal((double)seed[(i / 2 * 14) + 2 + (i % 2)] + seed[(i / 2 * 14) + 9 + (i % 2)], ds.ToArray()[i], 1e-6);
    }
}
