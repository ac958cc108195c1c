using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Gradients of a low-rank branch and of rounding with a straight-through gradient.</summary>
public sealed class LowRankOperationTests : IDisposable
{
    private const int Rows = 5, Columns = 7, Rank = 3;
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    public void Dispose() => _device.Dispose();

    [Fact]
    public void GradientsAreThoseOfFiniteDifferences()
    {
        float[] weight = Random(1, Rows * Columns), left = Random(2, Rows * Rank), right = Random(3, Rank * Columns), slope = Random(4, Rows * Columns);
        using Tensor w = _device.From(weight, Rows, Columns), b = _device.From(left, Rows, Rank), a = _device.From(right, Rank, Columns);
        using Tensor dw = _device.Zeros(Rows, Columns), db = _device.Zeros(Rows, Rank), da = _device.Zeros(Rank, Columns);
        using Tensor seed = _device.From(slope, Rows, Columns);
        using (var tape = new Tape(_device, recording: true)) tape.Backward(tape.AddLowRank(new(w, dw), new(b, db), new(a, da)), seed);

        double Loss()
        {
            using var tape = new Tape(_device, recording: false);
            return tape.AddLowRank(new(w), new(b), new(a)).Value.ToArray().Zip(slope, (y, dy) => (double)y * dy).Sum();
        }

        Check(w, dw);
        Check(b, db);
        Check(a, da);

        // The loss is linear in each operand, so a central difference of any width is exact but for the rounding of floats.
        void Check(Tensor x, Tensor gradient)
        {
            for (int i = 0; i < x.Count; i++)
            {
                float kept = x.Span[i];
                x.Span[i] = kept + 1;
                double above = Loss();
                x.Span[i] = kept - 1;
                double below = Loss();
                x.Span[i] = kept;
                Assert.Equal((above - below) / 2, gradient.Span[i], 1e-5);
            }
        }
    }

    [Fact]
    public void RoundingIsPassedByTheGradient()
    {
        float[] values = Random(5, 12), unit = [.. Enumerable.Range(1, 12).Select(i => 0.5f * i)], slope = Random(6, 12);
        using Tensor x = _device.From(values, 3, 4), dx = _device.Zeros(3, 4), seed = _device.From(slope, 3, 4);
        using var tape = new Tape(_device, recording: true);
        Variable y = tape.RoundStraightThrough(new(x, dx), unit, all =>
        {
            for (int i = 0; i < all.Length; i++) all[i] = MathF.Round(all[i]);
        });
        Assert.Equal(values.Zip(unit, (value, factor) => MathF.Round(value * factor)), y.Value.ToArray());
        tape.Backward(y, seed);
        Assert.Equal(slope.Zip(unit, (dy, factor) => dy * factor), dx.ToArray());
    }

    private static float[] Random(ulong seed, int count)
    {
        var random = new SeededRandom(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)random.NextGaussian())];
    }
}
