using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels;
using LowRankQuant.Numerics.Kernels.OneDnn;
using LowRankQuant.Numerics.Kernels.Simd;
using LowRankQuant.Numerics.Kernels.Simd.Gemm;
using LowRankQuant.Numerics.Kernels.Simd.Integers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Kernels;

/// <summary>
/// Products of integer codes: the same bits from the scalar twin, from every kind of tile and from one to three threads; exact where codes are extreme and sums long; and nearer
/// to the exact product of the quantized values than a product in floats.
/// </summary>
public sealed class IntegerProductTests(ITestOutputHelper output) : IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Kernels = CpuKernelKind.Scalar, Threads = 1 });
    private readonly WorkerPool[] _pools = [.. new[] { 1, 2, 3 }.Select(threads => new WorkerPool(threads))];

    /// <summary>Codes of activations and weights of 2 to 8 bits, channels and groups, symmetric or not; lengths that no vector divides, outputs and rows that fill no tile.</summary>
    [Theory]
    [InlineData(1, 1, 1, 8, 8, 0)]
    [InlineData(3, 5, 7, 8, 4, 0)]
    [InlineData(13, 33, 63, 4, 8, 0)]
    [InlineData(24, 64, 576, 8, 8, 0)]
    [InlineData(25, 47, 331, 8, 5, 0)]
    [InlineData(12, 70, 1030, 8, 6, 0)]
    [InlineData(7, 31, 129, 8, 7, 0)]
    [InlineData(19, 40, 96, 3, 2, 32)]
    [InlineData(30, 35, 192, 8, 4, 64)]
    [InlineData(14, 66, 384, 8, 8, 128)]
    [InlineData(26, 20, 60, 8, 4, 6)]
    [InlineData(11, 17, 35, 4, 3, 5)]
    [InlineData(1100, 9, 40, 8, 8, 0)]
    [InlineData(1100, 9, 40, 8, 4, 0)]
    public void EveryTileGivesTheSameBits(int rows, int outFeatures, int inFeatures, int bits, int weightBits, int group)
    {
        foreach ((bool dynamic, bool symmetric, bool weightSymmetric) in new[] { (true, true, true), (true, false, false), (false, false, true), (false, true, false) })
        {
            var random = new SeededRandom((ulong)((rows * 31) + inFeatures + (symmetric ? 1 : 0)));
            var grid = new ActivationGrid(bits, symmetric, dynamic ? ActivationScope.Token : ActivationScope.Tensor);
            UniformWeight weight = Weight(random, outFeatures, inFeatures, weightBits, weightSymmetric, group);
            CodedActivations x = Random(random, grid, rows, inFeatures);
            float[] expected = Product(_device.Kernels, x, weight);
            Exact(x, weight, expected);
            foreach ((string name, Func<CodedActivations, UniformWeight, float[]> multiply) in Tiles(bits, weightBits))
            {
                float[] actual = multiply(x, weight);
                Assert.True(MemoryMarshal.AsBytes<float>(expected).SequenceEqual(MemoryMarshal.AsBytes<float>(actual)), $"{name}: {rows} x {outFeatures} x {inFeatures}, {grid.Describe()}, {weight.Grid}");
            }
        }
    }

    /// <summary>The paper's rule has unsigned codes; what multiplies is their signed form.</summary>
    [Fact]
    public void ThePapersRuleIsServedToo()
    {
        var random = new SeededRandom(5);
        UniformWeight weight = Weight(random, 20, 90, 8, false, 0);
        CodedActivations x = Random(random, new ActivationGrid(8, false, ActivationScope.Token, ActivationRule.Paper), 9, 90);
        Exact(x, weight, Product(_device.Kernels, x, weight));
    }

    /// <summary>All codes at the ends of their range, zero points at the other end: the largest sums that there are, in one run and in several.</summary>
    [Theory]
    [InlineData(576, 8, 8)]
    [InlineData(4096, 8, 4)]
    [InlineData(11008, 4, 8)]
    [InlineData(4096, 8, 6)]
    [InlineData(32768, 8, 8)]
    [InlineData(32769, 8, 8)]
    [InlineData(70001, 8, 8)]
    [InlineData(70001, 8, 4)]
    public void ExtremeCodesStayExact(int inFeatures, int bits, int weightBits)
    {
        int half = 1 << (bits - 1), most = (1 << weightBits) - 1;
        foreach ((int code, int zero, byte weightCode, byte weightZero) in new[]
        {
            (-half, half - 1, (byte)0, (byte)most), (half - 1, -half, (byte)most, (byte)0), (-half, half - 1, (byte)most, (byte)0), (half - 1, -half, (byte)0, (byte)most),
            (-half, 0, (byte)0, (byte)(most / 2)), (half - 1, 0, (byte)most, (byte)0),
        })
        {
            var grid = new ActivationGrid(bits, false, ActivationScope.Tensor);
            byte[] codes = new byte[3 * inFeatures];
            codes.AsSpan().Fill(weightCode);
            var weight = new UniformWeight(3, inFeatures, new UniformGrid(weightBits, false, Granularity.Channel), codes, [1, 1, 0.5f], [weightZero, weightZero, weightZero], ScaleType.Float32);
            CodedActivations x = Coded(grid, 2, inFeatures, [1], [zero]);
            x.Codes.Fill((sbyte)code);
            double sum = (double)inFeatures * (code - zero) * (weightCode - weightZero);
            float[] expected = Product(_device.Kernels, x, weight);
            // One run is rounded once, several once each.
            Assert.Equal(sum, expected[0], Math.Abs(sum) * Math.Pow(2, -23));
            Assert.Equal(sum / 2, expected[5], Math.Abs(sum) * Math.Pow(2, -24));
            foreach ((string name, Func<CodedActivations, UniformWeight, float[]> multiply) in Tiles(bits, weightBits)) Assert.True(expected.SequenceEqual(multiply(x, weight)), $"{name}: {code} {zero} {weightCode} {weightZero}");
        }
    }

    /// <summary>Against the exact product of the quantized values, codes are nearer than their floats.</summary>
    [Theory]
    [InlineData(64, 96, 576, 8, 0)]
    [InlineData(64, 96, 1536, 4, 0)]
    [InlineData(64, 96, 1024, 8, 128)]
    [InlineData(64, 96, 1024, 4, 32)]
    public void CodesAreNearerThanFloats(int rows, int outFeatures, int inFeatures, int weightBits, int group)
    {
        var random = new SeededRandom(11);
        var grid = new ActivationGrid(8, false, ActivationScope.Token);
        using var device = new CpuDevice();
        UniformWeight weight = Weight(random, outFeatures, inFeatures, weightBits, false, group);
        CodedActivations x = Random(random, grid, rows, inFeatures);
        float[] codes = Product(device.Kernels, x, weight), values = new float[rows * inFeatures], weights = new float[outFeatures * inFeatures];
        for (int i = 0; i < values.Length; i++)
        {
            (float step, int zero) = x.Row(i / inFeatures);
            values[i] = (x.Codes[i] - zero) * step;
        }
        weight.Dequantize(weights);
        using Tensor y = device.Empty(rows, outFeatures), left = device.From(values, rows, inFeatures), right = device.From(weights, outFeatures, inFeatures);
        device.Kernels.MatMul(left, false, right, true, y, false);
        double[] exact = Exact(x, weight, codes);
        (double ofCodes, double ofFloats) = (Distance(exact, codes), Distance(exact, y.ToArray()));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{rows} x {outFeatures} x {inFeatures}, {weight.Grid}: codes {ofCodes:e2}, floats {ofFloats:e2}"));
        Assert.InRange(ofFloats, 0, 2e-6);
        Assert.InRange(ofCodes, 0, 0.8 * ofFloats);
    }

    [Fact]
    public void WhatDoesNotFitIsRefused()
    {
        CodedActivations x = Coded(new ActivationGrid(8, true, ActivationScope.Tensor), 2, 8, [1], [0]);
        UniformWeight weight = Weight(new SeededRandom(1), 3, 8, 4, true, 0), longer = Weight(new SeededRandom(1), 3, 9, 4, true, 0);
        using Tensor y = _device.Empty(2, 3), narrow = _device.Empty(2, 2);
        Multiply(weight, y);
        Assert.Throws<ArgumentException>(() => Multiply(longer, y));
        Assert.Throws<ArgumentException>(() => Multiply(weight, narrow));
        Assert.Throws<ArgumentException>(() => Multiply(weight.WithBranch(new LowRankBranch(1, new float[8], new float[3], 16)), y));
        Assert.Throws<ArgumentException>(() => Coded(new ActivationGrid(8, true, ActivationScope.Token), 2, 8, [1], [0]));
        Assert.Throws<ArgumentException>(() => Coded(new ActivationGrid(8, true, ActivationScope.TokenHead), 2, 8, [1, 1], [0, 0]));

        void Multiply(UniformWeight by, Tensor to) => _device.Kernels.MultiplyCodes(new IntegerProductArguments { X = x, Weight = by }, to);
    }

    public void Dispose()
    {
        foreach (WorkerPool pool in _pools) pool.Dispose();
        _device.Dispose();
    }

    private static UniformWeight Weight(SeededRandom random, int outFeatures, int inFeatures, int bits, bool symmetric, int group)
    {
        var grid = new UniformGrid(bits, symmetric, group == 0 ? Granularity.Channel : Granularity.Group, group);
        int scales = (int)grid.ScaleCount(outFeatures, inFeatures);
        byte Any() => (byte)random.NextInt32(1 << bits);
        return new UniformWeight(
            outFeatures, inFeatures, grid, [.. Enumerable.Range(0, outFeatures * inFeatures).Select(_ => Any())], [.. Enumerable.Range(0, scales).Select(_ => (float)(0.01 + Math.Abs(random.NextGaussian())))],
            symmetric ? null : [.. Enumerable.Range(0, scales).Select(_ => Any())], ScaleType.Float32);
    }

    private CodedActivations Random(SeededRandom random, ActivationGrid grid, int rows, int columns)
    {
        float[] values = KernelTwins.Random(random, rows * columns, 3);
        int steps = grid.IsDynamic ? rows : 1;
        (float step, float zero) = grid.Of(-6f, 9f);
        CodedActivations coded = Coded(grid, rows, columns, [.. Enumerable.Repeat(step, steps)], [.. Enumerable.Repeat(zero, steps)]);
        _device.Kernels.ActivationCodes(new ActivationQuantizerArguments { Grid = grid, X = _device.From(values, rows, columns), Step = coded.Step, ZeroPoint = coded.ZeroPoint }, coded.Codes);
        return coded;
    }

    private CodedActivations Coded(ActivationGrid grid, int rows, int columns, float[] steps, float[] zeros) =>
        new(grid, rows, columns, _device.Zeros(CodedActivations.FloatsFor(rows, columns)), _device.From(steps, steps.Length), _device.From(zeros, zeros.Length));

    private static double Distance(double[] exact, float[] values) => Math.Sqrt(exact.Zip(values).Sum(pair => Math.Pow(pair.First - pair.Second, 2)) / exact.Sum(value => value * value));

    /// <summary>The exact product, from which the given one may be away by a few roundings.</summary>
    private static double[] Exact(CodedActivations x, UniformWeight weight, float[] actual)
    {
        var exact = new double[actual.Length];
        for (int i = 0; i < actual.Length; i++)
        {
            int row = i / weight.OutFeatures, o = i % weight.OutFeatures;
            (float step, int zero) = x.Row(row);
            double sum = 0, size = 0;
            for (int k = 0; k < weight.InFeatures; k++)
            {
                (float scale, int weightZero) = weight.GroupOf(o, k / weight.EffectiveGroupSize);
                double term = (x.Codes[(row * weight.InFeatures) + k] - zero) * (double)(weight.Codes[(o * weight.InFeatures) + k] - weightZero) * scale * step;
                sum += term;
                size += Math.Abs(term);
            }
            exact[i] = sum;
            Assert.True(Math.Abs(sum - actual[i]) <= 3e-7 * size, $"[{row}, {o}]: {actual[i]:r} for {sum:r}");
        }
        return exact;
    }

    private float[] Product(IKernels kernels, CodedActivations x, UniformWeight weight)
    {
        using Tensor y = _device.Empty(x.Rows, weight.OutFeatures);
        y.Span.Fill(float.NaN);
        kernels.MultiplyCodes(new IntegerProductArguments { X = x, Weight = weight }, y);
        return y.ToArray();
    }

    /// <summary>Kernels of all widths and numbers of threads, and every kind of tile that serves these bits by itself; the instruction for bytes also where the processor lacks it.</summary>
    private IEnumerable<(string Name, Func<CodedActivations, UniformWeight, float[]> Multiply)> Tiles(int bits, int weightBits)
    {
        foreach (int width in KernelTwins.Widths)
        {
            foreach (WorkerPool pool in _pools)
                yield return ($"{width} bits, {pool.Threads} threads", (x, weight) => Product(new SimdKernels(pool, new ManagedGemm(pool), width), x, weight));
            yield return ($"{width} bits without the instruction for bytes", (x, weight) => Of(new IntegerGemm(_pools[0], width, exactBytes: false), x, weight));
        }
        if (Library is { } library)
        {
            foreach (WorkerPool pool in _pools) yield return ($"oneDNN, {pool.Threads} threads", (x, weight) => Of(new OneDnnIntegerGemm(library, pool, new IntegerGemm(pool), (0, 1)), x, weight));
        }
        int flush = IntegerGemm.ShortSums((1 << bits) - 1, 1 << (weightBits - 1));
        if (SimdKernels.Supports(256)) yield return ("exact bytes, written out", (x, weight) => With(new IntegerDriver<IntegerTile256<WrittenOut>>(), x, weight, flush));
        yield return ("scalar tile", (x, weight) => With(new IntegerDriver<IntegerTileScalar>(), x, weight, flush));
    }

    // Where it is installed and multiplies bytes exactly.
    private static OneDnnLibrary? Library
    {
        get
        {
            try
            {
                var library = OneDnnLibrary.Load(null);
                return OneDnnIntegerGemm.IsExact(library) ? library : null;
            }
            catch (DllNotFoundException)
            {
                return null;
            }
        }
    }

    private unsafe float[] Of(IIntegerGemm gemm, CodedActivations x, UniformWeight weight)
    {
        using Tensor y = _device.Empty(x.Rows, weight.OutFeatures);
        gemm.Multiply(x, weight, y.Pointer);
        return y.ToArray();
    }

    private unsafe float[] With(IntegerDriver driver, CodedActivations x, UniformWeight weight, int flush)
    {
        using Tensor y = _device.Empty(x.Rows, weight.OutFeatures);
        driver.Multiply(x, weight, y.Pointer, flush, _pools[1]);
        return y.ToArray();
    }

    /// <summary>What <see cref="VnniDot"/> computes, in instructions that every processor has.</summary>
    private readonly struct WrittenOut : IIntegerDot<Vector256<int>>
    {
        public static int CodesPerWord => 4;

        public static bool Flushes => false;

        public static Vector256<int> Multiply(Vector256<int> sum, Vector256<int> x, Vector256<int> b)
        {
            for (int i = 0; i < 32; i++) sum = sum.WithElement(i / 4, sum[i / 4] + (x.AsByte()[i] * b.AsSByte()[i]));
            return sum;
        }

        public static Vector256<int> Add(Vector256<int> sum, Vector256<int> product) => product;

        public static Vector256<int> Widen(Vector256<int> sum) => sum;
    }
}
