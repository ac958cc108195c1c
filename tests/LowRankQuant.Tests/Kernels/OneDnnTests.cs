using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.OneDnn;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Products by oneDNN, of floats and of bfloat16, against double precision and for any number of threads; skipped where the library is absent.</summary>
public sealed class OneDnnTests
{
    private static readonly (int M, int N, int K)[] Shapes =
        [(1, 7, 5), (17, 64, 33), (40, 130, 96), (256, 256, 64), (257, 300, 70), (520, 530, 20), (33, 1030, 65), (1024, 96, 17), (300, 5, 300)];

    [Fact]
    public void ProductsAreThoseOfDoublePrecision()
    {
        using CpuDevice device = Device(2);
        var random = new Random(3);
        foreach ((int m, int n, int k) in Shapes)
        {
            for (int form = 0; form < 8; form++)
            {
                bool transposeA = (form & 1) != 0, transposeB = (form & 2) != 0, accumulate = (form & 4) != 0;
                float[] a = Values(random, m * k), b = Values(random, k * n), c = Values(random, m * n);
                float[] exact = Reference(a, transposeA, b, transposeB, c, accumulate, m, n, k, out float[] bound);
                float[] half = Reference(Rounded(a), transposeA, Rounded(b), transposeB, c, accumulate, m, n, k, out _);
                Close(exact, Product(device, Precision.Single, a, transposeA, b, transposeB, c, accumulate, m, n, k), bound);
                Close(half, Product(device, Precision.BFloat16, a, transposeA, b, transposeB, c, accumulate, m, n, k), bound);
            }
        }
    }

    [Fact]
    public void ThreadsChangeNoBit()
    {
        var random = new Random(4);
        const int m = 700, n = 1100, k = 130;
        float[] a = Values(random, m * k), b = Values(random, k * n), c = new float[m * n];
        foreach (Precision precision in Enum.GetValues<Precision>())
        {
            float[]? first = null;
            foreach (int threads in new[] { 1, 2, 3, 7 })
            {
                using CpuDevice device = Device(threads);
                float[] product = Product(device, precision, a, false, b, false, c, false, m, n, k);
                first ??= product;
                Assert.Equal(first, product);
            }
        }
    }

    [Fact]
    public void SeveralDevicesComputeAtOnce()
    {
        using CpuDevice one = Device(1), other = Device(2);
        var random = new Random(5);
        float[] a = Values(random, 300 * 200), b = Values(random, 200 * 500), c = new float[300 * 500];
        float[] alone = Product(one, Precision.BFloat16, a, false, b, false, c, false, 300, 500, 200);
        Parallel.For(0, 8, i => Assert.Equal(alone, Product(i % 2 == 0 ? one : other, Precision.BFloat16, a, false, b, false, c, false, 300, 500, 200)));
    }

    [Theory]
    [InlineData(CpuKernelKind.Simd)]
    [InlineData(CpuKernelKind.Scalar)]
    public void WithoutTheLibraryTheSameNumbersAreRounded(CpuKernelKind kernels)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1, Kernels = kernels });
        Assert.False(device.Kernels.HasHalf);
        var random = new Random(6);
        float[] a = Values(random, 40 * 30), b = Values(random, 30 * 50), c = new float[40 * 50];
        float[] half = Reference(Rounded(a), false, Rounded(b), false, c, false, 40, 50, 30, out float[] bound);
        Close(half, Product(device, Precision.BFloat16, a, false, b, false, c, false, 40, 50, 30), bound);
    }

    [Fact]
    public void WhatIsNoSuchLibraryIsSaid()
    {
        DllNotFoundException absent = Assert.Throws<DllNotFoundException>(() => OneDnnLibrary.Load("libnone-of-that-name.so"));
        Assert.Contains("'libnone-of-that-name.so' (not found)", absent.Message, StringComparison.Ordinal);
        Assert.Contains("apt-get install libdnnl2", absent.Message, StringComparison.Ordinal);
        if (OperatingSystem.IsLinux()) Assert.Contains("has no function dnnl_version", Assert.Throws<DllNotFoundException>(() => OneDnnLibrary.Load("libc.so.6")).Message, StringComparison.Ordinal);
        Assert.Null(CpuSurvey.Find(CpuKernelKind.OneDnn, "libnone-of-that-name.so").File);
    }

    private static CpuDevice Device(int threads)
    {
        CpuLibrary library = CpuSurvey.Find(CpuKernelKind.OneDnn);
        Assert.SkipWhen(library.File is null, library.Description);
        return new CpuDevice(new CpuDeviceOptions { Threads = threads, Kernels = CpuKernelKind.OneDnn });
    }

    private static float[] Product(CpuDevice device, Precision precision, float[] a, bool transposeA, float[] b, bool transposeB, float[] c, bool accumulate, int m, int n, int k)
    {
        using Tensor left = device.From(a, transposeA ? k : m, transposeA ? m : k), right = device.From(b, transposeB ? n : k, transposeB ? k : n), sum = device.From(c, m, n);
        if (precision == Precision.BFloat16) device.Kernels.MatMulHalf(left, transposeA, right, transposeB, sum, accumulate);
        else device.Kernels.MatMul(left, transposeA, right, transposeB, sum, accumulate);
        return sum.ToArray();
    }

    // The product in double precision, and how far sums of floats in any order may be from it.
    private static float[] Reference(float[] a, bool transposeA, float[] b, bool transposeB, float[] c, bool accumulate, int m, int n, int k, out float[] bound)
    {
        var product = new float[m * n];
        bound = new float[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = accumulate ? c[(i * n) + j] : 0, size = Math.Abs(sum);
                for (int p = 0; p < k; p++)
                {
                    double term = (double)a[transposeA ? (p * m) + i : (i * k) + p] * b[transposeB ? (j * k) + p : (p * n) + j];
                    sum += term;
                    size += Math.Abs(term);
                }
                product[(i * n) + j] = (float)sum;
                bound[(i * n) + j] = (float)(size * 1e-6) + 1e-30f;
            }
        }
        return product;
    }

    private static void Close(float[] expected, float[] actual, float[] bound)
    {
        for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= bound[i], $"element {i}: {actual[i]}, expected {expected[i]} within {bound[i]}");
    }

    private static float[] Rounded(float[] values) => [.. values.Select(value => BFloat16.ToSingle(BFloat16.FromSingle(value)))];

    private static float[] Values(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
}
