using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Kernels.Scalar;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Every backward formula of the reference against differences of its forward formula, in double precision.</summary>
public class ReferenceGradientTests
{
    [Theory]
    [InlineData(0.0)]
    [InlineData(1.0)]
    public void RmsNorm(double offset)
    {
        const int rows = 3, n = 7;
        var random = new SeededRandom(1);
        double[] x = Random(random, rows * n), weight = Random(random, n), dy = Random(random, rows * n);
        double[] y = new double[rows * n], inverse = new double[rows], dx = new double[rows * n], dWeight = new double[n];
        double Loss()
        {
            Reference.RmsNormForward(x, weight, 1e-2, offset, y, inverse);
            return Dot(dy, y);
        }

        Loss();
        Reference.RmsNormBackward<double>(dy, x, weight, offset, inverse, dx, false, dWeight);
        Check(Loss, x, dx, "dx");
        Check(Loss, weight, dWeight, "dWeight");

        double[] once = [.. dx];
        Reference.RmsNormBackward<double>(dy, x, weight, offset, inverse, dx, true, []);
        Assert.Equal(once.Select(value => 2 * value), dx);
    }

    [Fact]
    public void LayerNorm()
    {
        const int rows = 3, n = 7;
        var random = new SeededRandom(2);
        double[] x = Random(random, rows * n), weight = Random(random, n), bias = Random(random, n), dy = Random(random, rows * n);
        double[] y = new double[rows * n], mean = new double[rows], inverse = new double[rows];
        double[] dx = new double[rows * n], dWeight = new double[n], dBias = new double[n];
        double Loss()
        {
            Reference.LayerNormForward(x, weight, bias, 1e-2, y, mean, inverse);
            return Dot(dy, y);
        }

        Loss();
        Reference.LayerNormBackward<double>(dy, x, weight, mean, inverse, dx, false, dWeight, dBias);
        Check(Loss, x, dx, "dx");
        Check(Loss, weight, dWeight, "dWeight");
        Check(Loss, bias, dBias, "dBias");
    }

    [Theory]
    [InlineData(false, 4)]
    [InlineData(true, 4)]
    [InlineData(false, 2)]
    [InlineData(true, 2)]
    public void RotaryGradientIsTheInverseRotation(bool interleaved, int half)
    {
        const int heads = 2, headSize = 8, rows = 6, sequence = 3, offset = 1;
        var random = new SeededRandom(3);
        double[] x = Random(random, rows * heads * headSize), dy = Random(random, x.Length), y = new double[x.Length], dx = new double[x.Length];
        double[] angle = Random(random, (sequence + offset) * half, 3), cosine = [.. angle.Select(Math.Cos)], sine = [.. angle.Select(Math.Sin)];
        double Loss()
        {
            Reference.Rotate<double>(x, heads * headSize, cosine, sine, half, headSize, interleaved, sequence, offset, false, y);
            return Dot(dy, y);
        }

        Loss();
        Reference.Rotate<double>(dy, heads * headSize, cosine, sine, half, headSize, interleaved, sequence, offset, true, dx);
        Check(Loss, x, dx, "dx");

        // Row 3 begins the second sequence: position 0 + offset; its first pair turns by angle[offset, 0].
        int second = interleaved ? 1 : half, row = sequence * heads * headSize;
        Assert.Equal((x[row] * cosine[offset * half]) - (x[row + second] * sine[offset * half]), y[row], 1e-15);
    }

    [Theory]
    [InlineData(2, 5, 5, 4, 2, 3, 0, 0.0f)]
    [InlineData(1, 4, 7, 3, 1, 2, 0, 0.0f)]
    [InlineData(1, 6, 6, 2, 2, 3, 2, 0.0f)]
    [InlineData(1, 4, 6, 4, 2, 3, 3, 1.5f)]
    [InlineData(2, 3, 3, 1, 1, 4, 0, 2.0f)]
    [InlineData(1, 7, 7, 2, 1, 3, 0, 0.0f, 3)]
    [InlineData(1, 5, 8, 4, 2, 3, 6, 0.0f, 4, 2)]
    [InlineData(2, 4, 6, 2, 2, 2, 0, 0.0f, 0, 5, true)]
    [InlineData(1, 5, 5, 4, 2, 3, 2, 1.5f, 0, 0, true)]
    public void Attention(
        int batch, int queries, int keys, int heads, int keyHeads, int headSize, int window, float cap, int chunk = 0, int valueHead = 0, bool terms = false)
    {
        var shape = new AttentionShape(batch, queries, keys, heads, keyHeads, headSize, 0.7f, window, cap, chunk, valueHead);
        var random = new SeededRandom(4);
        double[] q = Random(random, batch * queries * heads * headSize), dy = Random(random, batch * queries * heads * shape.ValueHeadSize);
        double[] k = Random(random, batch * keys * keyHeads * headSize), v = Random(random, batch * keys * keyHeads * shape.ValueHeadSize);
        double[] log = new double[batch * queries * heads], y = new double[dy.Length];
        double[] bias = terms ? Random(random, heads * (keys + 1)) : [], sinks = terms ? Random(random, heads) : [];
        double[] dq = new double[q.Length], dk = new double[k.Length], dv = new double[v.Length];
        double Loss()
        {
            Reference.AttentionForward<double>(shape, bias, sinks, q, k, v, y, log);
            return Dot(dy, y);
        }

        Loss();
        Reference.AttentionBackward<double>(shape, bias, dy, q, k, v, y, log, dq, dk, dv);
        Check(Loss, q, dq, "dq");
        Check(Loss, k, dk, "dk");
        Check(Loss, v, dv, "dv");
    }

    [Fact]
    public void ChunksBiasesAndSinksDoWhatTheySay()
    {
        // q = 0 and v = key number: every visible key weighs e^bias, a sink e^sink without a value.
        var chunks = new AttentionShape(1, 5, 5, 1, 1, 1, 1, Chunk: 2);
        double[] y = new double[5], log = new double[5], numbers = [0, 1, 2, 3, 4];
        Reference.AttentionForward<double>(chunks, default, default, new double[5], new double[5], numbers, y, log);
        Assert.Equal([0, 0.5, 2, 2.5, 4], y);

        var plain = new AttentionShape(1, 1, 3, 1, 1, 1, 1);
        Reference.AttentionForward<double>(plain, [0, Math.Log(2), Math.Log(5)], [Math.Log(8)], new double[1], new double[3], numbers.AsSpan(0, 3), y.AsSpan(0, 1), log.AsSpan(0, 1));
        Assert.Equal(((1 * 0) + (2 * 1) + (5 * 2)) / 16.0, y[0], 1e-15);
        Assert.Equal(Math.Log(16), log[0], 1e-15);
    }

    [Fact]
    public void AttentionSeesWhatItShould()
    {
        // One head of size one, v = key number, q = 0: the output is the mean of the numbers of the visible keys.
        var shape = new AttentionShape(1, 3, 5, 1, 1, 1, 1, Window: 2);
        double[] y = new double[3], log = new double[3];
        Reference.AttentionForward<double>(shape, default, default, new double[3], new double[5], [0, 1, 2, 3, 4], y, log);
        Assert.Equal([1.5, 2.5, 3.5], y);
        Assert.All(log, value => Assert.Equal(Math.Log(2), value, 1e-15));
    }

    [Theory]
    [InlineData(Activation.Silu)]
    [InlineData(Activation.GeluTanh)]
    [InlineData(Activation.GeluErf)]
    [InlineData(Activation.Relu)]
    [InlineData(Activation.ReluSquared)]
    [InlineData(Activation.Sigmoid)]
    public void Activations(Activation activation)
    {
        var random = new SeededRandom(5);
        double[] x = [.. Random(random, 20, 2), -6, 6, 3.4, -3.6], up = Random(random, x.Length), dy = Random(random, x.Length);
        double[] y = new double[x.Length], dx = new double[x.Length], dUp = new double[x.Length];
        double Plain()
        {
            Reference.ActivationForward<double>(activation, x, y);
            return Dot(dy, y);
        }

        double Gated()
        {
            Reference.GatedActivationForward<double>(activation, x, up, y);
            return Dot(dy, y);
        }

        Reference.ActivationBackward<double>(activation, dy, x, dx);
        Check(Plain, x, dx, "dx");
        Reference.GatedActivationBackward<double>(activation, dy, x, up, dx, dUp);
        Check(Gated, x, dx, "dGate");
        Check(Gated, up, dUp, "dUp");
    }

    [Theory]
    [InlineData(-8.0, 6.220960574271786e-16)]
    [InlineData(-3.0, 1.3498980316300946e-3)]
    [InlineData(-1.0, 0.15865525393145705)]
    [InlineData(0.0, 0.5)]
    [InlineData(0.5, 0.6914624612740131)]
    [InlineData(4.0, 0.9999683287581669)]
    public void NormalDistributionHasItsTabulatedValues(double x, double expected) =>
        Assert.Equal(1, Reference.NormalDistribution(x) / expected, 1e-12);

    [Fact]
    public void SquaredError()
    {
        const int rows = 3, n = 4;
        var random = new SeededRandom(6);
        double[] x = Random(random, rows * n), target = Random(random, rows * n), weights = [0.5, 2, 1.5], gradient = new double[rows * n];
        double Loss() => Reference.SquaredError<double>(x, target, n, weights, 0.3, []);
        Reference.SquaredError<double>(x, target, n, weights, 0.3, gradient);
        Check(Loss, x, gradient, "gradient");
    }

    [Fact]
    public void CrossEntropy()
    {
        const int rows = 4, n = 5;
        var random = new SeededRandom(7);
        double[] logits = Random(random, rows * n, 2), loss = new double[rows], log = new double[rows], gradient = new double[rows * n];
        int[] targets = [3, -1, 0, 4];
        double Loss()
        {
            Reference.CrossEntropyForward<double>(logits, targets, loss, log);
            return 0.25 * loss.Sum();
        }

        Loss();
        Reference.CrossEntropyBackward<double>(logits, targets, log, 0.25, gradient);
        Check(Loss, logits, gradient, "dLogits");
        Assert.Equal(0, loss[1]);
        Assert.All(gradient[n..(2 * n)], value => Assert.Equal(0, value));
        int[] largest = new int[rows];
        Reference.SoftmaxStatistics(logits, log, largest);
        Assert.Equal(Array.IndexOf(logits, logits[..n].Max()), largest[0]);
    }

    [Fact]
    public void KlDivergenceOfKnownDistributions()
    {
        double[] p = [0.5, 0.25, 0.25], q = [0.25, 0.25, 0.5];
        double[] a = [.. p.Select(value => Math.Log(value) + 3)], b = [.. q.Select(value => Math.Log(value) - 2)], result = new double[1];
        Reference.KlDivergence<double>(a, b, result);
        Assert.Equal((0.5 * Math.Log(2)) - (0.25 * Math.Log(2)), result[0], 1e-14);
    }

    [Fact]
    public void GroupScale()
    {
        const int rows = 3, n = 6, groups = 2;
        var random = new SeededRandom(12);
        double[] units = Random(random, rows * n, 3), scale = Random(random, rows * groups), slope = Random(random, rows * n), y = new double[rows * n];
        double[] gradient = new double[rows * groups], more = Enumerable.Repeat(1.0, rows * groups).ToArray();
        double Loss()
        {
            Reference.GroupScaleForward<double>(units, scale, y);
            return y.Zip(slope, (value, dy) => value * dy).Sum();
        }

        Reference.GroupScaleBackward<double>(slope, units, gradient, accumulate: false);
        Check(Loss, scale, gradient, "dScale");
        Assert.Equal(units[3] * scale[1], y[3], 1e-15);
        Reference.GroupScaleBackward<double>(slope, units, more, accumulate: true);
        for (int i = 0; i < more.Length; i++) Assert.Equal(gradient[i] + 1, more[i], 1e-14);
    }

    [Fact]
    public void FakeQuantizerGradientIsThatOfItsStraightThroughSurrogate()
    {
        // With c = round(x) - x frozen, q = x + c inside the clamp and constant outside is smooth, has the value of the quantizer where it is frozen,
        // and its derivative is the straight-through gradient by definition.
        const int rows = 4, n = 6, groupSize = 3, maxCode = 7;
        var random = new SeededRandom(8);
        double[] weight = Random(random, rows * n), delta = Random(random, rows * n, 0.1), row = Random(random, rows, 0.1);
        double[] column = Random(random, n, 0.1);
        double[] logScale = [.. Random(random, rows * n / groupSize, 0.1).Select(value => value + Math.Log(0.3))];
        double[] zero = [3, 4, 2, 4.3, 3, 3.6, 4, 5], g = Random(random, rows * n), quantized = new double[rows * n], residue = new double[rows * n];
        Reference.FakeQuantizeForward<double>(weight, n, logScale, zero, delta, row, column, maxCode, quantized, residue);
        double Ratio(int i) => weight[i] / Math.Exp(logScale[i / groupSize] + delta[i] + row[i / n] + column[i % n]);
        // Codes count from the zero's whole part; values from the zero itself.
        double Fraction(int i) => zero[i / groupSize] - Math.Round(zero[i / groupSize]);
        double Code(int i) => Math.Round(Ratio(i) + Fraction(i), MidpointRounding.ToEven);
        double[] rounding = [.. Enumerable.Range(0, rows * n).Select(i => Code(i) - Fraction(i) - Ratio(i))];
        double[] clipped = [.. Enumerable.Range(0, rows * n).Select(i =>
        {
            double code = Code(i), low = -Math.Round(zero[i / groupSize]), high = maxCode + low;
            return code < low ? low - Fraction(i) : code > high ? high - Fraction(i) : double.NaN;
        })];
        Assert.InRange(clipped.Count(value => !double.IsNaN(value)), 1, (rows * n) - 1);
        double Loss()
        {
            double sum = 0;
            for (int i = 0; i < rows * n; i++)
            {
                double code = double.IsNaN(clipped[i]) ? Ratio(i) + rounding[i] : clipped[i];
                sum += g[i] * code * Math.Exp(logScale[i / groupSize]);
            }
            return sum;
        }

        Assert.Equal(Dot(g, quantized), Loss(), 1e-12);
        double[] dDelta = new double[rows * n], dScale = new double[logScale.Length], dRow = new double[rows], dColumn = new double[n];
        Reference.FakeQuantizeBackward<double>(g, n, quantized, residue, dDelta, dScale, dRow, dColumn);
        Check(Loss, delta, dDelta, "dD");
        Check(Loss, logScale, dScale, "dlog s1");
        Check(Loss, row, dRow, "dr2");
        Check(Loss, column, dColumn, "dc2");
    }
}
