using System.Runtime.InteropServices;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Quantizers of activations against an independent implementation: steps, zero points, codes and values bit for bit, gradients, ties.</summary>
public class ActivationKernelTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Fact]
    public void DynamicGridsByToken()
    {
        MiniSafetensors data = Open("act-token");
        string[] cases = Cases(data);
        Assert.Equal(30, cases.Length);
        foreach (string key in cases)
        {
            string[] parts = key.Split('.');
            ActivationGrid grid = Grid(parts[1], parts[2], ActivationScope.Token);
            string input = parts[0];
            (int rows, int columns) = (data.Shape($"{input}.x")[0], data.Shape($"{input}.x")[1]);
            float[] zero = data.Contains($"{key}.zero") ? data.Floats($"{key}.zero") : new float[rows];
            foreach (IKernels kernels in All())
            {
                string what = $"{kernels.Name} {key}";
                Tensor x = twins.From(data.Floats($"{input}.x"), rows, columns), step = twins.Empty(rows, 1), zeroPoint = twins.Empty(rows, 1), y = twins.Empty(rows, columns);
                var arguments = new ActivationQuantizerArguments { Grid = grid, X = x, Step = step, ZeroPoint = zeroPoint };
                kernels.QuantizeActivations(arguments, y);
                Assert.True(SameBits(data.Floats($"{key}.s"), step.ToArray()), what + " s");
                float[] found = zeroPoint.ToArray();
                // Where the range is empty any zero point is right.
                for (int r = 0; r < rows; r++) Assert.True(found[r] == zero[r] || (grid.Rule != ActivationRule.Paper && IsZero(x, r)), $"{what} zero {r}");
                Assert.Equal(data.Floats($"{key}.value"), y.ToArray());
                var codes = new sbyte[rows * columns];
                kernels.ActivationCodes(arguments, codes);
                double[] expected = data.Doubles($"{key}.code");
                int shift = grid.Rule == ActivationRule.Paper ? grid.Half : 0;
                for (int i = 0; i < codes.Length; i++) Assert.True(expected[i] - shift == codes[i] || IsZero(x, i / columns), $"{what} code {i}");
                KernelTwins.Near(data.Floats($"{key}.f64.value"), y.ToArray(), 2e-7, what + " beside the float64 grid");
                Tensor g = twins.From(data.Floats($"{input}.G"), rows, columns), dx = twins.Empty(rows, columns), through = twins.Empty(rows, columns);
                kernels.QuantizeActivationsBackward(arguments, new ActivationQuantizerGradients { Upstream = g, Input = dx });
                kernels.QuantizeActivationsBackward(arguments, new ActivationQuantizerGradients { Upstream = g, Input = through, ThroughRange = true });
                KernelTwins.Near(data.Floats($"{key}.dx"), dx.ToArray(), 2e-7, what + " dx");
                KernelTwins.Near(data.Floats($"{key}.dx_range"), through.ToArray(), 2e-7, what + " dx_range");
            }
        }
    }

    [Fact]
    public void TiesGoWhereEachRuleSendsThem()
    {
        MiniSafetensors data = Open("act-ties");
        string[] cases = [.. Cases(data).Where(key => !key.StartsWith("equal", StringComparison.Ordinal))];
        Assert.Equal(16, cases.Length);
        int differ = 0;
        float[] values = data.Floats("x");
        foreach (string key in cases)
        {
            string[] parts = key.Split('.');
            ActivationGrid grid = Grid(parts[1], parts[0] == "paper" ? "paper" : "ct-asym", ActivationScope.Tensor);
            float zero = int.Parse(parts[2][1..], System.Globalization.CultureInfo.InvariantCulture);
            foreach (IKernels kernels in All())
            {
                int n = values.Length;
                Tensor x = twins.From(values, 1, n), y = twins.Empty(1, n), dx = twins.Empty(1, n);
                var arguments = new ActivationQuantizerArguments { Grid = grid, X = x, Step = twins.From([0.25f], 1), ZeroPoint = twins.From([zero], 1) };
                kernels.QuantizeActivations(arguments, y);
                Assert.Equal(data.Floats($"{key}.value"), y.ToArray());
                var codes = new sbyte[n];
                kernels.ActivationCodes(arguments, codes);
                int shift = grid.Rule == ActivationRule.Paper ? grid.Half : 0;
                Assert.Equal(data.Doubles($"{key}.code"), codes.Select(code => (double)code + shift));
                kernels.QuantizeActivationsBackward(arguments, new ActivationQuantizerGradients { Upstream = twins.From([.. Enumerable.Repeat(1f, n)], 1, n), Input = dx });
                Assert.Equal(data.Floats($"{key}.mask"), dx.ToArray());
            }
            if (parts[0] != "ct") continue;
            double[] other = data.Doubles($"paper.{parts[1]}.z{zero + grid.Half}.code"), own = data.Doubles($"{key}.code");
            differ += own.Zip(other).Count(pair => pair.First + grid.Half != pair.Second);
        }
        // The two rules part at ties, so that a test that takes one for the other fails.
        Assert.NotEqual(0, differ);
    }

    [Fact]
    public void OneValueMakesAStaticGrid()
    {
        MiniSafetensors data = Open("act-ties");
        string[] cases = [.. Cases(data).Where(key => key.StartsWith("equal", StringComparison.Ordinal))];
        Assert.Equal(12, cases.Length);
        foreach (string key in cases)
        {
            string name = key[..key.IndexOf(".b", StringComparison.Ordinal)], kind = key[(name.Length + 1)..];
            float value = float.Parse(name["equal".Length..], System.Globalization.CultureInfo.InvariantCulture);
            ActivationGrid grid = Grid(kind.Split('.')[0], "ct-" + kind.Split('.')[1], ActivationScope.Tensor);
            (float step, float zero) = grid.Of(value, value);
            Assert.Equal(data.Floats($"{key}.s")[0], step);
            if (data.Contains($"{key}.zero") && value != 0) Assert.Equal(data.Floats($"{key}.zero")[0], zero);
            Tensor y = twins.Empty(3, 8), x = twins.From([.. Enumerable.Repeat(value, 24)], 3, 8);
            twins.Scalar.QuantizeActivations(new ActivationQuantizerArguments { Grid = grid, X = x, Step = twins.From([step], 1), ZeroPoint = twins.From([zero], 1) }, y);
            Assert.Equal(data.Floats($"{key}.value"), y.ToArray());
        }
    }

    /// <summary>Every width and number of threads gives the bits of the scalar twin: values, codes, steps, zero points, all gradients.</summary>
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 17, 1)]
    [InlineData(5, 66, 2)]
    [InlineData(7, 1025, 1)]
    [InlineData(300, 96, 3)]
    [InlineData(2, 9000, 4)]
    public void TwinsAreTheSameBits(int rows, int columns, int heads)
    {
        var random = new SeededRandom((ulong)((rows * 10000) + columns));
        float[] values = KernelTwins.Random(random, rows * columns, 3), slopes = KernelTwins.Random(random, rows * columns), before = KernelTwins.Random(random, rows * columns);
        for (int i = 0; i < values.Length; i += 13) values[i] = i % 2 == 0 ? 0f : -0f;
        foreach (ActivationScope scope in Enum.GetValues<ActivationScope>())
        {
            foreach (int bits in new[] { 4, 8 })
            {
                foreach ((bool symmetric, ActivationRule rule) in new[] { (true, ActivationRule.CompressedTensors), (false, ActivationRule.CompressedTensors), (false, ActivationRule.Paper) })
                {
                    var grid = new ActivationGrid(bits, symmetric, scope, rule);
                    int units = grid.IsPerHead ? heads : 1, steps = grid.IsDynamic ? rows * units : units;
                    float[] given = [.. Enumerable.Range(0, steps).Select(i => 0.07f + (0.01f * i))], zero = [.. Enumerable.Range(0, steps).Select(i => symmetric ? 0 : 1.4f + (i % 3))];
                    Same(kernels =>
                    {
                        Tensor x = twins.From(values, rows, columns), step = twins.From(given, steps), zeroPoint = twins.From(zero, steps), y = twins.Empty(rows, columns);
                        var arguments = new ActivationQuantizerArguments { Grid = grid, X = x, Step = step, ZeroPoint = zeroPoint };
                        kernels.QuantizeActivations(arguments, y);
                        var codes = new sbyte[rows * columns];
                        kernels.ActivationCodes(arguments, codes);
                        Tensor g = twins.From(slopes, rows, columns), dx = twins.Empty(rows, columns), sum = twins.From(before, rows, columns);
                        Tensor dStep = twins.Empty(rows, units), dZero = twins.Empty(rows, units);
                        kernels.QuantizeActivationsBackward(
                            arguments, new ActivationQuantizerGradients { Upstream = g, Input = dx, Step = dStep, ZeroPoint = dZero, ThroughRange = grid.IsDynamic });
                        kernels.QuantizeActivationsBackward(arguments, new ActivationQuantizerGradients { Upstream = g, Input = sum, Accumulate = true });
                        return [y.ToArray(), [.. codes.Select(code => (float)code)], step.ToArray(), zeroPoint.ToArray(), dx.ToArray(), sum.ToArray(), dStep.ToArray(), dZero.ToArray()];
                    }, grid.Describe());
                }
            }
        }
    }

    /// <summary>Integer products of codes are the products of the values that they stand for.</summary>
    [Fact]
    public void CodesMultiplyAsTheirValuesDo()
    {
        MiniSafetensors data = Open("act-token");
        foreach (string key in Cases(data).Where(key => key.StartsWith("outlier.b8", StringComparison.Ordinal)).Some())
        {
            ActivationGrid grid = Grid("b8", key.Split('.')[2], ActivationScope.Token);
            (int rows, int columns) = (data.Shape("outlier.x")[0], data.Shape("outlier.x")[1]);
            Tensor x = twins.From(data.Floats("outlier.x"), rows, columns), step = twins.Empty(rows, 1), zeroPoint = twins.Empty(rows, 1);
            var codes = new sbyte[rows * columns];
            twins.Scalar.ActivationCodes(new ActivationQuantizerArguments { Grid = grid, X = x, Step = step, ZeroPoint = zeroPoint }, codes);
            float[] value = data.Floats($"{key}.value"), s = step.ToArray(), z = zeroPoint.ToArray();
            int[] weight = [.. Enumerable.Range(0, columns).Select(j => ((j * 37) % 255) - 127)];
            for (int r = 0; r < rows; r++)
            {
                int product = 0, sum = 0;
                double expected = 0, size = 0;
                for (int j = 0; j < columns; j++)
                {
                    product += codes[(r * columns) + j] * weight[j];
                    sum += weight[j];
                    expected += (double)value[(r * columns) + j] * weight[j];
                    size += Math.Abs((double)value[(r * columns) + j] * weight[j]);
                }
                // A zero point of the paper's rule belongs to unsigned codes.
                float zero = grid.Rule == ActivationRule.Paper ? z[r] - grid.Half : z[r];
                Assert.InRange(s[r] * (product - ((double)zero * sum)) - expected, -1e-7 * size, 1e-7 * size);
            }
        }
    }

    private IEnumerable<IKernels> All() => KernelTwins.Widths.SelectMany(bits => new[] { twins.Simd(bits, 1), twins.Simd(bits, 2) }).Prepend(twins.Scalar);

    private void Same(Func<IKernels, float[][]> operation, string what)
    {
        float[][] expected = operation(twins.Scalar);
        foreach (IKernels kernels in All())
        {
            float[][] actual = operation(kernels);
            for (int i = 0; i < expected.Length; i++) Assert.True(SameBits(expected[i], actual[i]), $"{kernels.Name}, {what}, output {i}");
        }
    }

    private static MiniSafetensors Open(string name) => new(TestData.Path("golden", "schemes", name + ".safetensors"));

    private static string[] Cases(MiniSafetensors data) => [.. data.Names.Where(name => name.EndsWith(".code", StringComparison.Ordinal)).Select(name => name[..^5])];

    private static ActivationGrid Grid(string bits, string rule, ActivationScope scope) => new(
        bits[1] - '0', rule == "ct-sym", scope, rule == "paper" ? ActivationRule.Paper : ActivationRule.CompressedTensors);

    private static bool IsZero(Tensor x, int row) => x.RowRange(row, 1).ToArray().All(value => value == 0);

    private static bool SameBits(float[] expected, float[] actual) => MemoryMarshal.AsBytes<float>(expected).SequenceEqual(MemoryMarshal.AsBytes<float>(actual));
}
