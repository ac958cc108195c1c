using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Kernels;

/// <summary>The divergence of logits from a reference as a loss, and weights whose scales learn under it.</summary>
public sealed class DistillationLossTests : IDisposable
{
    private const int Rows = 4, Vocabulary = 9;
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    public void Dispose() => _device.Dispose();

    [Fact]
    public void ItsGradientIsThatOfFiniteDifferences()
    {
        float[] logits = Random(1, Rows * Vocabulary, 2), reference = Random(2, Rows * Vocabulary, 2);
        using Tensor x = _device.From(logits, Rows, Vocabulary), dx = _device.Zeros(Rows, Vocabulary);
        double loss;
        using (var tape = new Tape(_device, recording: true))
        {
            using Tensor expected = _device.From(reference, Rows, Vocabulary);
            loss = tape.KlDivergenceAndBackward(new Variable(x, dx), expected, 1f / Rows);
        }
        Assert.Equal(Loss(), loss, 1e-12);
        const float step = 0.01f;
        for (int i = 0; i < x.Count; i++)
        {
            float kept = x.Span[i];
            x.Span[i] = kept + step;
            double above = Loss();
            x.Span[i] = kept - step;
            double below = Loss();
            x.Span[i] = kept;
            Assert.Equal((above - below) / (2 * step), dx.Span[i], 1e-5);
        }

        double Loss()
        {
            using Tensor expected = _device.From(reference, Rows, Vocabulary);
            using var tape = new Tape(_device, recording: false);
            return tape.KlDivergenceAndBackward(new Variable(x), expected, 1f / Rows);
        }
    }

    [Fact]
    public void EqualLogitsGiveNoLossAndNoGradient()
    {
        float[] logits = Random(3, Rows * Vocabulary, 5);
        // A shift of all logits changes no distribution.
        using Tensor x = _device.From(logits, Rows, Vocabulary), dx = _device.Zeros(Rows, Vocabulary);
        using Tensor expected = _device.From([.. logits.Select(value => value + 3)], Rows, Vocabulary);
        using var tape = new Tape(_device, recording: true);
        Assert.Equal(0, tape.KlDivergenceAndBackward(new Variable(x, dx), expected, 1), 1e-6);
        foreach (float slope in dx.ToArray()) Assert.Equal(0, slope, 1e-6f);
    }

    [Fact]
    public void ScalesLearnThroughTheTape()
    {
        float[] units = [.. Random(4, 24, 4).Select(value => MathF.Round(value))], scale = [0.5f, 0.25f, 1, 2], slope = Random(5, 24, 1);
        using Tensor u = _device.From(units, 2, 12), s = _device.From(scale, 2, 2), ds = _device.Zeros(2, 2), seed = _device.From(slope, 2, 12);
        using var tape = new Tape(_device, recording: true);
        Variable weight = tape.GroupScale(u, new Variable(s, ds));
        Assert.Equal(units.Select((unit, i) => unit * scale[i / 6]), weight.Value.ToArray());
        tape.Backward(weight, seed);
        for (int group = 0; group < 4; group++)
            Assert.Equal(Enumerable.Range(group * 6, 6).Sum(i => (double)units[i] * slope[i]), ds.Span[group], 1e-5);
    }

    private static float[] Random(ulong seed, int count, float scale)
    {
        var random = new SeededRandom(seed);
        return [.. Enumerable.Range(0, count).Select(_ => scale * (float)random.NextGaussian())];
    }
}
