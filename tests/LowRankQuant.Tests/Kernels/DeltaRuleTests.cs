using System.Runtime.InteropServices;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Sequences;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>The gated delta rule: formula, gradient, vector kernels of every width in chunks and token after token, states passed on, tape.</summary>
public class DeltaRuleTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    public static TheoryData<int, int, int, int, int, int, bool, string> Cases => new()
    {
        { 1, 1, 1, 1, 16, 24, false, "mild" },
        { 2, 2, 1, 2, 16, 24, false, "mild" },
        { 1, 2, 2, 2, 17, 5, true, "mild" },
        { 2, 8, 1, 3, 16, 24, true, "mixed" },
        { 1, 9, 1, 2, 16, 24, false, "none" },
        { 1, 15, 2, 4, 16, 24, false, "mild" },
        { 1, 15, 2, 4, 16, 24, true, "mild" },
        { 2, 16, 1, 1, 32, 32, false, "strong" },
        { 2, 16, 1, 1, 32, 32, true, "strong" },
        { 1, 17, 1, 2, 24, 16, false, "mixed" },
        { 1, 17, 1, 2, 24, 16, true, "mixed" },
        { 1, 63, 1, 4, 16, 24, false, "mixed" },
        { 1, 63, 1, 4, 16, 24, true, "mixed" },
        { 2, 64, 2, 2, 32, 32, false, "none" },
        { 2, 64, 2, 2, 32, 32, true, "none" },
        { 1, 65, 1, 2, 13, 7, false, "mild" },
        { 1, 65, 1, 2, 13, 7, true, "mild" },
        { 1, 130, 1, 2, 128, 128, false, "mild" },
        { 1, 130, 1, 2, 128, 128, true, "mild" },
        { 2, 130, 2, 6, 16, 24, false, "mixed" },
        { 2, 130, 2, 6, 16, 24, true, "mixed" },
        { 1, 130, 1, 1, 32, 24, false, "strong" },
        { 1, 130, 1, 1, 32, 24, true, "endless" },
        { 1, 70, 1, 1, 32, 24, false, "endless" },
        { 2, 130, 2, 6, 16, 24, false, "rare" },
        { 2, 130, 2, 6, 16, 24, true, "rare" },
        { 1, 130, 1, 1, 32, 32, false, "none" },
        { 1, 130, 1, 1, 32, 32, true, "none" },
        { 2, 200, 1, 2, 24, 20, false, "slow" },
        { 2, 200, 1, 2, 24, 20, true, "slow" },
        { 1, 1100, 1, 1, 16, 16, false, "slow" },
        { 1, 1100, 1, 1, 16, 16, true, "slow" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void ForwardIsThatOfTheTwinInDoublePrecision(
        int batch, int length, int keyHeads, int valueHeads, int keySize, int valueSize, bool channels, string decay)
    {
        var shape = new DeltaRuleShape(batch, length, keyHeads, valueHeads, keySize, valueSize, channels);
        var data = new DeltaRuleData(shape, decay);
        double[] y = new double[data.Dy.Length], end = new double[data.Start.Length], states = new double[shape.KeptRows * valueSize];
        Reference.DeltaRuleForward<double>(
            shape, Wide(data.Q), Wide(data.K), Wide(data.V), Wide(data.G), Wide(data.Beta), Wide(data.Start), y, end, states);
        Everywhere(
            kernels =>
            {
                Tensor output = twins.Empty(shape.Rows, valueHeads * valueSize), kept = twins.Empty(shape.KeptRows, valueSize);
                Tensor state = twins.From(data.Start, shape.StateRows, valueSize), separate = twins.Empty(shape.StateRows, valueSize);
                Tensor plain = twins.Empty(shape.Rows, valueHeads * valueSize);
                kernels.DeltaRuleForward(shape, data.Terms(twins), state, output, separate, kept);
                kernels.DeltaRuleForward(shape, data.Terms(twins), state, plain, state, null);
                Assert.Equal(separate.ToArray(), state.ToArray());
                Assert.Equal(output.ToArray(), plain.ToArray());
                return [output, state, kept];
            },
            [y, end, states],
            1e-5);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void BackwardIsThatOfTheTwinInDoublePrecision(
        int batch, int length, int keyHeads, int valueHeads, int keySize, int valueSize, bool channels, string decay)
    {
        var shape = new DeltaRuleShape(batch, length, keyHeads, valueHeads, keySize, valueSize, channels);
        var data = new DeltaRuleData(shape, decay);
        double[][] expected = Gradients(shape, data);
        Everywhere(
            kernels =>
            {
                Tensor output = twins.Empty(shape.Rows, valueHeads * valueSize), kept = twins.Empty(shape.KeptRows, valueSize);
                DeltaRuleTerms terms = data.Terms(twins), gradients = DeltaRuleData.Empty(twins, shape);
                kernels.DeltaRuleForward(shape, terms, null, output, null, kept);
                kernels.DeltaRuleBackward(shape, terms, kept, twins.From(data.Dy, shape.Rows, valueHeads * valueSize), gradients);

                // The gradient of a zero key is larger than others by a factor of a thousand, so those of the others are compared by themselves too.
                Tensor others = twins.From([.. gradients.K.ToArray().Select((x, i) => data.K[i] == 0 ? 0 : x)], shape.Rows, keyHeads * keySize);
                return [gradients.Q, gradients.K, gradients.V, gradients.LogDecay, gradients.Beta, others];
            },
            [.. expected, [.. expected[1].Select((x, i) => data.K[i] == 0 ? 0 : x)]],
            1e-5);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhatWorkMemoryHeldBeforeDoesNotMatter(bool channels)
    {
        var shape = new DeltaRuleShape(1, 130, 1, 2, 24, 20, channels);
        var data = new DeltaRuleData(shape, "mixed");
        foreach (int bits in KernelTwins.Widths)
        {
            IKernels used = twins.Simd(bits, 1);
            Assert.All(Run(used, _ => float.NaN), x => Assert.True(float.IsNaN(x)));
            Assert.Equal(Run(twins.Simd(bits, 1), x => x), Run(used, x => x));
        }

        float[] Run(IKernels kernels, Func<float, float> change)
        {
            DeltaRuleTerms terms = data.Terms(twins), gradients = DeltaRuleData.Empty(twins, shape);
            foreach (Tensor tensor in new[] { terms.Q, terms.K, terms.V, terms.LogDecay, terms.Beta })
            {
                for (int i = 0; i < tensor.Count; i++) tensor.Span[i] = change(tensor.Span[i]);
            }
            Tensor y = twins.Empty(shape.Rows, 40), kept = twins.Empty(shape.KeptRows, 20);
            kernels.DeltaRuleForward(shape, terms, null, y, null, kept);
            kernels.DeltaRuleBackward(shape, terms, kept, twins.From(data.Dy, shape.Rows, 40), gradients);
            return [.. y.ToArray(), .. gradients.Q.ToArray(), .. gradients.K.ToArray(), .. gradients.LogDecay.ToArray(), .. gradients.Beta.ToArray()];
        }
    }

    [Theory]
    [InlineData(4, false)]
    [InlineData(4, true)]
    [InlineData(66, false)]
    [InlineData(66, true)]
    public void TheTwinHasItsGradient(int length, bool channels)
    {
        var shape = new DeltaRuleShape(2, length, 1, 2, 3, 2, channels);
        var random = new SeededRandom(31);
        double[] q = Random(random, shape.Rows * 3), k = Random(random, shape.Rows * 3), v = Random(random, shape.Rows * 4), dy = Random(random, shape.Rows * 4);
        double[] g = [.. Random(random, shape.Rows * shape.DecayColumns).Select(x => -0.3 * Math.Abs(x))];
        double[] beta = [.. Random(random, shape.Rows * 2).Select(x => 1 / (1 + Math.Exp(-x)))], y = new double[dy.Length], states = new double[shape.KeptRows * 2];
        double Loss()
        {
            Reference.DeltaRuleForward<double>(shape, q, k, v, g, beta, [], y, [], []);
            return Dot(dy, y);
        }

        Reference.DeltaRuleForward<double>(shape, q, k, v, g, beta, [], y, [], states);
        double[] dq = new double[q.Length], dk = new double[k.Length], dv = new double[v.Length], dg = new double[g.Length], dBeta = new double[beta.Length];
        Reference.DeltaRuleBackward<double>(shape, q, k, v, g, beta, states, dy, dq, dk, dv, dg, dBeta);
        Check(Loss, v, dv, "dv");
        Check(Loss, q, dq, "dq");
        Check(Loss, k, dk, "dk");
        Check(Loss, g, dg, "dg");
        Check(Loss, beta, dBeta, "dbeta");
    }

    [Fact]
    public void ValuesAreThoseOfTheFormula()
    {
        // Two tokens of one head with one channel and one value, so that every step can be done by hand.
        var shape = new DeltaRuleShape(1, 2, 1, 1, 1, 1);
        double[] y = new double[2], end = new double[1], q = [2, 1], k = [3, -1], v = [0.5, 2], g = [Math.Log(0.5), Math.Log(0.25)], beta = [0.5, 0.75];
        Reference.DeltaRuleForward<double>(shape, q, k, v, g, beta, [4.0], y, end, []);
        double One(double x) => x / Math.Sqrt((x * x) + 1e-6f);
        double first = 2 + (0.5 * One(3) * (0.5 - (2 * One(3)))), decayed = first / 4, second = decayed + (0.75 * One(-1) * (2 - (decayed * One(-1))));
        Assert.Equal(first * One(2), y[0], 1e-14);
        Assert.Equal(second * One(1), y[1], 1e-14);
        Assert.Equal(second, end[0], 1e-14);

        // What was stored under a key is read back with it, and a key that is stored again with beta 1 replaces its value.
        shape = new DeltaRuleShape(1, 3, 1, 1, 2, 1);
        y = new double[3];
        Reference.DeltaRuleForward<double>(shape, [0, 5, 5, 0, 5, 0], [5, 0, 0, 5, 5, 0], [7, 9, -4], [0, 0, 0], [1, 1, 1], [], y, [], []);
        double[] expected = [0, 7, -4];
        for (int i = 0; i < 3; i++) Assert.Equal(expected[i] / Math.Sqrt(2), y[i], 1e-6);
    }

    [Theory]
    [InlineData(130, 37, false)]
    [InlineData(130, 37, true)]
    [InlineData(130, 64, false)]
    [InlineData(130, 125, true)]
    [InlineData(90, 5, false)]
    [InlineData(90, 5, true)]
    public void AStatePassedOnGivesTheWhole(int length, int split, bool channels)
    {
        // Little fades, so that the state at the split is still there at the end.
        var whole = new DeltaRuleShape(2, length, 1, 2, 24, 20, channels);
        var data = new DeltaRuleData(whole, "slow");
        foreach (IKernels kernels in KernelTwins.Widths.Select(bits => twins.Simd(bits, 2)).Append(twins.Scalar))
        {
            Tensor y = twins.Empty(whole.Rows, 40), end = twins.Empty(whole.StateRows, 20), state = twins.Empty(whole.StateRows, 20);
            kernels.DeltaRuleForward(whole, data.Terms(twins), null, y, end, null);
            DeltaRuleShape first = whole with { Length = split }, second = whole with { Length = length - split };
            Tensor before = twins.Empty(first.Rows, 40), after = twins.Empty(second.Rows, 40);
            kernels.DeltaRuleForward(first, data.Part(0, split).Terms(twins), null, before, state, null);
            kernels.DeltaRuleForward(second, data.Part(split, length - split).Terms(twins), state, after, state, null);
            KernelTwins.Near(DeltaRuleData.Part(y.ToArray(), whole, 0, split), before.ToArray(), 1e-5, "first part");
            KernelTwins.Near(DeltaRuleData.Part(y.ToArray(), whole, split, length - split), after.ToArray(), 1e-5, "second part");
            KernelTwins.Near(end.ToArray(), state.ToArray(), 1e-5, "state");
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TheTapeGivesTheGradientsOfAllInputs(bool channels)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        var shape = new DeltaRuleShape(2, 70, 1, 2, 16, 8, channels);
        var data = new DeltaRuleData(shape, "mild");
        double[][] expected = Gradients(shape, data);
        float[][] values = [data.Q, data.K, data.V, data.G, data.Beta];
        Tensor[] inputs = [.. values.Select(value => device.From(value, shape.Rows, value.Length / shape.Rows))], gradients = [.. inputs.Select(input => device.Empty(input.Shape))];
        Variable[] x = [.. inputs.Zip(gradients, (value, gradient) => new Variable(value, gradient))];
        using (var tape = new Tape(device, recording: true))
        {
            Variable once = tape.DeltaRule(shape, x[0], x[1], x[2], x[3], x[4]), twice = tape.DeltaRule(shape, x[0], x[1], x[2], x[3], x[4]);
            tape.Backward(tape.Add(once, twice), device.From(data.Dy, shape.Rows, 16));
        }
        for (int i = 0; i < x.Length; i++) Near([.. expected[i].Select(value => 2 * value)], gradients[i].ToArray(), 1e-5, $"input {i}");
    }

    private static double[][] Gradients(DeltaRuleShape shape, DeltaRuleData data)
    {
        double[] q = Wide(data.Q), k = Wide(data.K), v = Wide(data.V), g = Wide(data.G), beta = Wide(data.Beta);
        double[] y = new double[data.Dy.Length], states = new double[shape.KeptRows * shape.ValueSize];
        double[] dq = new double[q.Length], dk = new double[k.Length], dv = new double[v.Length], dg = new double[g.Length], dBeta = new double[beta.Length];
        Reference.DeltaRuleForward<double>(shape, q, k, v, g, beta, [], y, [], states);
        Reference.DeltaRuleBackward<double>(shape, q, k, v, g, beta, states, Wide(data.Dy), dq, dk, dv, dg, dBeta);
        return [dq, dk, dv, dg, dBeta];
    }

    /// <summary>Every width comes near the double precision values, the scalar floats too; two threads give the bits of one.</summary>
    private void Everywhere(Func<IKernels, Tensor[]> operation, double[][] expected, double tolerance)
    {
        float[][] scalar = [.. operation(twins.Scalar).Select(tensor => tensor.ToArray())];
        for (int i = 0; i < expected.Length; i++) Near(expected[i], scalar[i], tolerance, $"output {i}, scalar");
        foreach (int bits in KernelTwins.Widths)
        {
            float[][] one = [.. operation(twins.Simd(bits, 1)).Select(tensor => tensor.ToArray())];
            float[][] two = [.. operation(twins.Simd(bits, 2)).Select(tensor => tensor.ToArray())];
            for (int i = 0; i < expected.Length; i++)
            {
                Near(expected[i], one[i], tolerance, $"output {i}, {bits} bits");
                Assert.True(MemoryMarshal.AsBytes<float>(one[i]).SequenceEqual(MemoryMarshal.AsBytes<float>(two[i])), $"output {i}, {bits} bits: two threads");
            }
        }
    }

    private static double[] Wide(float[] values) => [.. values.Select(value => (double)value)];

    /// <summary>Differences of at most a part of the largest element.</summary>
    private static void Near(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Max(Math.Abs);
        for (int i = 0; i < expected.Length; i++)
        {
            // Written so that not-a-number fails.
            if (!(Math.Abs(expected[i] - actual[i]) <= tolerance * largest)) Assert.Fail($"{what} [{i}]: {actual[i]:r} for {expected[i]:r}, largest {largest:r}");
        }
    }
}
