using LowRankQuant.Numerics;
using static LowRankQuant.Tests.Kernels.KernelTwins;

namespace LowRankQuant.Tests.Kernels;

/// <summary>The vector kernels against the scalar reference.</summary>
public class SimdTwinTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    public static TheoryData<int, int> Shapes => new()
    {
        { 1, 1 }, { 1, 3 }, { 2, 17 }, { 5, 33 }, { 3, 64 }, { 7, 65 }, { 260, 70 }, { 2, 9000 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Pointwise(int rows, int n)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n));
        float[] a = Random(random, rows * n), b = Random(random, rows * n), row = Random(random, n), before = Random(random, n);
        twins.Compare(kernels =>
        {
            Tensor x = twins.From(a, rows, n), other = twins.From(b, rows, n), sum = twins.Empty(rows, n), scaled = twins.Empty(rows, n);
            Tensor copy = twins.Empty(rows, n), columns = twins.Empty(n), more = twins.From(before, n), filled = twins.Empty(rows, n);
            Tensor uploaded = twins.Empty(rows, n);
            kernels.Add(x, other, sum);
            kernels.Scale(sum, 0.3f, scaled);
            kernels.AddScaled(x, -1.7f, scaled);
            kernels.Copy(x, copy);
            kernels.Add(copy, other, copy);
            kernels.AddRow(copy, twins.From(row, n));
            kernels.ColumnSums(x, columns, false);
            kernels.ColumnSums(x, more, true);
            kernels.Fill(filled, 2.5f);
            kernels.Upload(b, uploaded);
            var back = new float[b.Length];
            kernels.Download(uploaded, back);
            Assert.Equal(b, back);
            return [sum, scaled, copy, columns, more, filled, uploaded];
        });
    }

    [Theory]
    [InlineData(1, 1, 0, 1)]
    [InlineData(5, 70, 0, 70)]
    [InlineData(5, 70, 33, 7)]
    [InlineData(3, 1023, 1000, 23)]
    [InlineData(3, 1100, 1, 1024)]
    public void GramPanels(int rows, int n, int column, int wide)
    {
        float[] a = Random(new SeededRandom((ulong)((rows * 1000) + n + 9)), rows * n);
        twins.Compare(kernels =>
        {
            Tensor panel = twins.Empty(n - column, wide);
            kernels.GramPanel(twins.From(a, rows, n), column, panel);
            return [panel];
        });
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Norms(int rows, int n)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n + 1));
        float[] a = Random(random, rows * n), w = Random(random, n), b = Random(random, n), d = Random(random, rows * n);
        float[] before = Random(random, rows * n);
        foreach (float offset in new[] { 0f, 1f })
        {
            twins.Compare(
                kernels =>
                {
                    Tensor x = twins.From(a, rows, n), weight = twins.From(w, n), y = twins.Empty(rows, n), inverse = twins.Empty(rows);
                    Tensor dy = twins.From(d, rows, n), dx = twins.Empty(rows, n), more = twins.From(before, rows, n), dWeight = twins.From(b, n);
                    kernels.RmsNormForward(x, weight, 0.1f, offset, y, inverse);
                    kernels.RmsNormBackward(dy, x, weight, offset, inverse, dx, false, null);
                    kernels.RmsNormBackward(dy, x, weight, offset, inverse, more, true, dWeight);
                    return [y, inverse, dx, more, dWeight];
                },
                1e-5);
        }
        twins.Compare(
            kernels =>
            {
                Tensor x = twins.From(a, rows, n), weight = twins.From(w, n), bias = twins.From(b, n);
                Tensor y = twins.Empty(rows, n), plain = twins.Empty(rows, n);
                Tensor mean = twins.Empty(rows), inverse = twins.Empty(rows), dy = twins.From(d, rows, n);
                Tensor dx = twins.Empty(rows, n), more = twins.From(before, rows, n), dWeight = twins.From(b, n), dBias = twins.From(w, n);
                kernels.LayerNormForward(x, weight, null, 0.1f, plain, mean, inverse);
                kernels.LayerNormForward(x, weight, bias, 0.1f, y, mean, inverse);
                kernels.LayerNormBackward(dy, x, weight, mean, inverse, dx, false, dWeight, null);
                kernels.LayerNormBackward(dy, x, weight, mean, inverse, more, true, dWeight, dBias);
                return [plain, y, inverse, dx, more, dWeight, dBias];
            },
            1e-5);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Activations(int rows, int n)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n + 2));
        float[] a = Random(random, rows * n, 3), u = Random(random, rows * n), d = Random(random, rows * n);
        foreach (Activation activation in Enum.GetValues<Activation>())
        {
            twins.Compare(
                kernels =>
                {
                    Tensor x = twins.From(a, rows, n), up = twins.From(u, rows, n), dy = twins.From(d, rows, n), inPlace = twins.From(d, rows, n);
                    Tensor y = twins.Empty(rows, n), gated = twins.Empty(rows, n), dGate = twins.Empty(rows, n), dUp = twins.Empty(rows, n);
                    kernels.ActivationForward(activation, x, y);
                    kernels.ActivationBackward(activation, inPlace, x, inPlace);
                    kernels.GatedActivationForward(activation, x, up, gated);
                    kernels.GatedActivationBackward(activation, dy, x, up, dGate, dUp);
                    return [y, inPlace, gated, dGate, dUp];
                },
                3e-6,
                activation.ToString());
        }
    }

    [Theory]
    [InlineData(1, 1, 1, 1, 2, 2, false)]
    [InlineData(6, 3, 2, 3, 8, 6, false)]
    [InlineData(6, 3, 2, 3, 8, 6, true)]
    [InlineData(40, 20, 3, 5, 64, 64, false)]
    [InlineData(40, 20, 3, 5, 66, 34, false)]
    [InlineData(300, 100, 2, 0, 80, 32, true)]
    public void Rotary(int rows, int sequence, int heads, int offset, int headSize, int rotated, bool interleaved)
    {
        var random = new SeededRandom(11);
        float[] a = Random(random, rows * heads * headSize), angles = Random(random, (sequence + offset) * rotated / 2, 3);
        float[] cos = [.. angles.Select(MathF.Cos)], sin = [.. angles.Select(MathF.Sin)];
        twins.Compare(kernels =>
        {
            Tensor x = twins.From(a, rows, heads * headSize), y = twins.Empty(rows, heads * headSize), back = twins.Empty(rows, heads * headSize);
            Tensor cosine = twins.From(cos, sequence + offset, rotated / 2), sine = twins.From(sin, sequence + offset, rotated / 2);
            kernels.Rotate(x, cosine, sine, headSize, interleaved, sequence, offset, false, y);
            kernels.Rotate(y, cosine, sine, headSize, interleaved, sequence, offset, true, back);
            Near(a, back.ToArray(), 1e-6, "there and back");
            kernels.Rotate(x, cosine, sine, headSize, interleaved, sequence, offset, true, x);
            return [y, back, x];
        });
    }

    [Theory]
    [InlineData(1, 1, 1, 1, 1, 1, 0, 0f)]
    [InlineData(2, 3, 5, 4, 2, 17, 0, 0f)]
    [InlineData(1, 1, 200, 6, 2, 33, 0, 0f)]
    [InlineData(1, 2, 150, 2, 1, 64, 40, 5f)]
    [InlineData(2, 65, 65, 3, 1, 16, 0, 0f)]
    [InlineData(1, 130, 130, 2, 2, 64, 0, 0f)]
    [InlineData(1, 100, 197, 4, 2, 24, 0, 0f)]
    [InlineData(1, 200, 200, 2, 1, 8, 30, 0f)]
    [InlineData(1, 190, 300, 2, 1, 20, 65, 3f)]
    [InlineData(1, 7, 90, 2, 2, 50, 0, 0f)]
    [InlineData(2, 70, 70, 2, 2, 96, 1, 2f)]
    [InlineData(1, 150, 150, 2, 1, 24, 0, 0f, 37)]
    [InlineData(1, 3, 150, 2, 1, 24, 100, 0f, 64)]
    [InlineData(2, 70, 90, 4, 2, 24, 33, 0f, 0, 17)]
    [InlineData(1, 5, 90, 4, 2, 17, 0, 0f, 0, 33)]
    [InlineData(2, 100, 100, 4, 2, 16, 0, 0f, 0, 0, true)]
    [InlineData(1, 130, 171, 3, 1, 20, 70, 4f, 0, 12, true)]
    [InlineData(1, 2, 171, 3, 1, 20, 70, 4f, 0, 12, true)]
    public void Attention(
        int batch, int queries, int keys, int heads, int keyHeads, int headSize, int window, float cap, int chunk = 0, int valueHead = 0, bool terms = false)
    {
        var shape = new AttentionShape(batch, queries, keys, heads, keyHeads, headSize, 1.3f / MathF.Sqrt(headSize), window, cap, chunk, valueHead);
        var random = new SeededRandom(12);
        int rows = batch * queries, columns = heads * headSize, keyRows = batch * keys, keyColumns = keyHeads * headSize;
        int outputs = heads * shape.ValueHeadSize, valueColumns = keyHeads * shape.ValueHeadSize;
        float[] q = Random(random, rows * columns, 2), k = Random(random, keyRows * keyColumns, 2), v = Random(random, keyRows * valueColumns);
        float[] d = Random(random, rows * outputs), biases = Random(random, heads * (keys + 3), 3), sink = Random(random, heads, 4);
        twins.Compare(
            kernels =>
            {
                Tensor tq = twins.From(q, rows, columns), tk = twins.From(k, keyRows, keyColumns), tv = twins.From(v, keyRows, valueColumns);
                Tensor y = twins.Empty(rows, outputs), log = twins.Empty(rows, heads), dy = twins.From(d, rows, outputs);
                Tensor dq = twins.Empty(rows, columns), dk = twins.Empty(keyRows, keyColumns), dv = twins.Empty(keyRows, valueColumns);
                AttentionTerms beside = terms ? new AttentionTerms(twins.From(biases, heads, keys + 3), twins.From(sink, heads)) : default;
                kernels.AttentionForward(shape, beside, tq, tk, tv, y, log);
                kernels.AttentionBackward(shape, beside, dy, tq, tk, tv, y, log, dq, dk, dv);

                // A query that sees one key has no gradient but rounding errors.
                return window == 1 || keys == 1 ? [y, log, dv] : [y, log, dq, dk, dv];
            },
            1e-5);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Losses(int rows, int n)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n + 3));
        float[] a = Random(random, rows * n, 3), b = Random(random, rows * n, 3), w = [.. Random(random, rows).Select(MathF.Abs)];
        int[] targets = [.. Enumerable.Range(0, rows).Select(r => r % 4 == 3 ? -1 : random.NextInt32(n))];
        var sums = new Dictionary<IKernels, double[]>();
        twins.Compare(kernels =>
        {
            Tensor x = twins.From(a, rows, n), other = twins.From(b, rows, n), gradient = twins.Empty(rows, n), plain = twins.Empty(rows, n);
            Tensor loss = twins.Empty(rows), log = twins.Empty(rows), dLogits = twins.Empty(rows, n), statistics = twins.Empty(rows);
            double weighted = kernels.SquaredError(x, other, twins.From(w, rows), 0.7f, gradient);
            double unweighted = kernels.SquaredError(x, other, null, 1, null);
            kernels.SquaredError(x, other, null, 0.5f, plain);
            kernels.CrossEntropyForward(x, targets, loss, log);
            kernels.CrossEntropyBackward(x, targets, log, 0.25f, dLogits);
            var largest = new int[rows];
            kernels.SoftmaxStatistics(x, statistics, largest);
            for (int r = 0; r < rows; r++) Assert.Equal(a.AsSpan(r * n, n).ToArray().Max(), a[(r * n) + largest[r]]);
            kernels.CrossEntropyBackward(other, targets, log, 1, other);
            var divergence = new double[rows];
            kernels.KlDivergence(x, twins.From(b, rows, n), divergence);
            sums[kernels] = [weighted, unweighted, .. divergence];
            return [gradient, plain, loss, log, dLogits, statistics, other];
        });
        double[] expected = sums[twins.Scalar];
        foreach (double[] actual in sums.Values)
        {
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-9 * Math.Max(1, Math.Abs(expected[i])));
        }
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 17, 1)]
    [InlineData(4, 66, 6)]
    [InlineData(5, 128, 2)]
    [InlineData(300, 96, 3)]
    [InlineData(2, 9000, 1)]
    public void GroupScale(int rows, int n, int groups)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n + 5));
        float[] codes = [.. Enumerable.Range(0, rows * n).Select(_ => random.NextInt32(16) - 7f)], scales = Random(random, rows * groups);
        float[] slope = Random(random, rows * n), before = Random(random, rows * groups);
        twins.Compare(
            kernels =>
            {
                Tensor units = twins.From(codes, rows, n), scale = twins.From(scales, rows, groups), y = twins.Empty(rows, n), dy = twins.From(slope, rows, n);
                Tensor dScale = twins.Empty(rows, groups), more = twins.From(before, rows, groups), whole = twins.Empty(1);
                kernels.GroupScaleForward(units, scale, y);
                kernels.GroupScaleBackward(dy, units, dScale, false);
                kernels.GroupScaleBackward(dy, units, more, true);
                kernels.GroupScaleBackward(dy, units, whole, false);
                return [y, dScale, more, whole];
            },
            1e-5);
    }

    [Fact]
    public void FirstOfEqualLogitsIsTheLargest()
    {
        twins.Compare(kernels =>
        {
            var values = new float[2 * 50];
            values[17] = values[33] = 4;
            values[50] = values[99] = 1e30f;
            Tensor log = twins.Empty(2);
            var largest = new int[2];
            kernels.SoftmaxStatistics(twins.From(values, 2, 50), log, largest);
            Assert.Equal([17, 0], largest);
            return [log];
        });
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 17, 1)]
    [InlineData(5, 33, 3)]
    [InlineData(65, 96, 6)]
    [InlineData(150, 130, 1)]
    [InlineData(20, 1024, 8)]
    public void FakeQuantize(int rows, int n, int groups)
    {
        var random = new SeededRandom((ulong)((rows * 1000) + n + 4));
        const int maxCode = 7;
        float[] w = Random(random, rows * n), delta = Random(random, rows * n, 0.1), r2 = Random(random, rows, 0.1), c2 = Random(random, n, 0.1);
        float[] scale = [.. Random(random, rows * groups, 0.1).Select(value => value + MathF.Log(0.4f))], g = Random(random, rows * n);
        float[] integers = [.. Enumerable.Range(0, rows * groups).Select(_ => (float)(2 + random.NextInt32(4)))];
        float[] between = [.. integers.Select(whole => whole + (float)random.NextUniform() - 0.5f)];
        foreach (int given in new[] { 0, 1, 2, 4, 7, 8, 15 })
        {
            float[] zero = (given & 8) == 8 ? between : integers;
            twins.Compare(
                kernels =>
                {
                    Tensor quantized = twins.Empty(rows, n), residue = (given & 1) == 1 ? twins.From(delta, rows, n) : twins.Empty(rows, n);
                    Tensor upstream = twins.From(g, rows, n), dScale = twins.Empty(rows, groups), dRow = twins.Empty(rows), dColumn = twins.Empty(n);
                    var arguments = new FakeQuantizeArguments
                    {
                        Weight = twins.From(w, rows, n),
                        LogScale = twins.From(scale, rows, groups),
                        Zero = twins.From(zero, rows, groups),
                        Delta = (given & 1) == 1 ? residue : null,
                        RowOffset = (given & 2) == 2 ? twins.From(r2, rows) : null,
                        ColumnOffset = (given & 4) == 4 ? twins.From(c2, n) : null,
                        MaxCode = maxCode,
                        Quantized = quantized,
                        Residue = residue,
                    };
                    kernels.FakeQuantizeForward(arguments);
                    float[] residues = residue.ToArray();
                    kernels.FakeQuantizeBackward(arguments, new FakeQuantizeGradients
                    {
                        Upstream = upstream,
                        Delta = (given & 2) == 2 ? upstream : residue,
                        LogScale = dScale,
                        RowOffset = dRow,
                        ColumnOffset = dColumn,
                    });
                    return [quantized, twins.From(residues, rows, n), (given & 2) == 2 ? upstream : residue, dScale, dRow, dColumn];
                },
                1e-5,
                $"given {given}");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(33)]
    [InlineData(20001)]
    public void Adam(int n)
    {
        var random = new SeededRandom(14);
        float[] x = Random(random, n), m = Random(random, n, 0.1), v = [.. Random(random, n, 0.1).Select(MathF.Abs)], g = Random(random, n);
        twins.Compare(kernels =>
        {
            Tensor parameters = twins.From(x, n), first = twins.From(m, n), second = twins.From(v, n);
            for (int step = 1; step <= 3; step++)
            {
                kernels.AdamStep(new AdamArguments
                {
                    Parameters = parameters,
                    Gradient = twins.From(g, n),
                    FirstMoment = first,
                    SecondMoment = second,
                    Rate = 0.01f,
                    Step = step,
                    Beta1 = 0.9f,
                    Beta2 = 0.999f,
                    Epsilon = 1e-8f,
                });
            }
            return [parameters, first, second];
        });
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(9, 33)]
    [InlineData(20, 300)]
    public void Embedding(int rows, int n)
    {
        var random = new SeededRandom(15);
        float[] table = Random(random, 6 * n), d = Random(random, rows * n);
        int[] ids = [.. Enumerable.Range(0, rows).Select(_ => random.NextInt32(6))];
        twins.Compare(kernels =>
        {
            Tensor y = twins.Empty(rows, n), gradient = twins.From(table, 6, n);
            kernels.EmbeddingForward(twins.From(table, 6, n), ids, y);
            kernels.EmbeddingBackward(twins.From(d, rows, n), ids, gradient);
            return [y, gradient];
        });
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void MatMul(bool transposeA, bool transposeB)
    {
        const int m = 19, n = 35, k = 70;
        var random = new SeededRandom(16);
        float[] a = Random(random, m * k), b = Random(random, k * n), c = Random(random, m * n);
        twins.Compare(
            kernels =>
            {
                Tensor x = transposeA ? twins.From(a, k, m) : twins.From(a, m, k), y = transposeB ? twins.From(b, n, k) : twins.From(b, k, n);
                Tensor product = twins.Empty(m, n), sum = twins.From(c, m, n);
                kernels.MatMul(x, transposeA, y, transposeB, product, false);
                kernels.MatMul(x, transposeA, y, transposeB, sum, true);
                return [product, sum];
            },
            1e-5);
    }
}
