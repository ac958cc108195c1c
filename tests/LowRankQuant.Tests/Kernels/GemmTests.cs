using System.Runtime.InteropServices;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Kernels.Blas;
using LowRankQuant.Numerics.Kernels.Simd.Gemm;

namespace LowRankQuant.Tests.Kernels;

public sealed unsafe class GemmTests
{
    private const float Guard = 12345.678f;

    [Theory]
    [InlineData(512)]
    [InlineData(256)]
    [InlineData(128)]
    [InlineData(0)]
    public void Random_shapes_match_a_double_precision_product(int bits)
    {
        using var pool = new WorkerPool(2);
        var gemm = new ManagedGemm(pool, bits);
        Assert.True(gemm.VectorBits <= bits);
        var random = new Random(7 + bits);
        int[] odd = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 47, 48, 49, 63, 65, 96, 97, 127, 130];
        for (int i = 0; i < 160; i++)
        {
            int m = odd[random.Next(odd.Length)], n = odd[random.Next(odd.Length)], k = odd[random.Next(odd.Length)];
            Check(gemm, m, n, k, (i & 1) != 0, (i & 2) != 0, (i & 4) != 0, (i & 8) != 0, random);
        }
    }

    [Theory]
    [InlineData(512)]
    [InlineData(256)]
    [InlineData(128)]
    [InlineData(0)]
    public void Shapes_beyond_one_block_match(int bits)
    {
        using var pool = new WorkerPool(2);
        var gemm = new ManagedGemm(pool, bits);
        var random = new Random(11);
        (int M, int N, int K)[] shapes =
            [(301, 101, 37), (9, 3200, 21), (17, 50, 1003), (1, 700, 1201), (3, 65, 2049), (130, 1, 515), (2, 3101, 5), (1, 5, 8200)];
        for (int i = 0; i < shapes.Length * 4; i++)
        {
            (int m, int n, int k) = shapes[i / 4];
            Check(gemm, m, n, k, (i & 1) != 0, (i & 2) != 0, (i & 1) == 0, (i & 2) == 0, random);
        }
    }

    [Fact]
    public void An_empty_inner_dimension_gives_zeros_or_leaves_the_target()
    {
        using var pool = new WorkerPool(1);
        var gemm = new ManagedGemm(pool);
        float[] c = [1, 2, 3, 4, 5, 6];
        fixed (float* p = c)
        {
            gemm.Multiply(false, false, 2, 2, 0, p, 1, p, 2, p, 3, true);
            Assert.Equal([1, 2, 3, 4, 5, 6], c);
            gemm.Multiply(false, false, 2, 2, 0, p, 1, p, 2, p, 3, false);
            Assert.Equal([0, 0, 3, 0, 0, 6], c);
            gemm.Multiply(false, false, 0, 2, 3, p, 3, p, 2, p, 3, false);
            gemm.Multiply(false, false, 2, 0, 3, p, 3, p, 2, p, 3, false);
            Assert.Equal([0, 0, 3, 0, 0, 6], c);
        }
    }

    [Fact]
    public void The_bytes_do_not_depend_on_the_number_of_threads()
    {
        (int M, int N, int K)[] shapes =
            [(1, 1777, 400), (2, 530, 900), (3, 600, 9001), (4, 48, 48), (7, 1000, 385), (64, 64, 64), (205, 331, 801), (16, 3100, 40)];
        var random = new Random(3);
        foreach ((int m, int n, int k) in shapes)
        {
            for (int mode = 0; mode < 4; mode++)
            {
                float[] a = Values((long)m * k, random), b = Values((long)n * k, random), start = Values((long)m * n, random);
                float[]? expected = null;
                for (int threads = 1; threads <= 3; threads++)
                {
                    using var pool = new WorkerPool(threads);
                    var gemm = new ManagedGemm(pool);
                    for (int repeat = 0; repeat < 2; repeat++)
                    {
                        float[] c = [.. start];
                        fixed (float* pa = a, pb = b, pc = c)
                        {
                            bool ta = (mode & 1) != 0, tb = (mode & 2) != 0;
                            if (repeat == 0) gemm.Multiply(ta, tb, m, n, k, pa, ta ? m : k, pb, tb ? k : n, pc, n, true);
                            else gemm.MultiplySerial(ta, tb, m, n, k, pa, ta ? m : k, pb, tb ? k : n, pc, n, true);
                        }
                        expected ??= c;
                        bool same = MemoryMarshal.AsBytes(expected.AsSpan()).SequenceEqual(MemoryMarshal.AsBytes(c.AsSpan()));
                        Assert.True(same, $"{m} x {n} x {k}, mode {mode}, {threads} threads");
                    }
                }
            }
        }
    }

    [Fact]
    public void Serial_products_run_within_chunks_at_the_same_time()
    {
        using var pool = new WorkerPool(3);
        var gemm = new ManagedGemm(pool);
        const int size = 70, products = 24;
        var random = new Random(5);
        float[] a = Values(products * size * size, random), b = Values(products * size * size, random);
        float[] c = new float[products * size * size];
        fixed (float* pa = a, pb = b, pc = c)
        {
            nint left = (nint)pa, right = (nint)pb, result = (nint)pc;
            pool.Run(products, i =>
            {
                nint offset = (nint)i * size * size * sizeof(float);
                float* x = (float*)(left + offset), y = (float*)(right + offset), z = (float*)(result + offset);
                gemm.MultiplySerial(false, true, size, size, size, x, size, y, size, z, size, false);
            });
        }
        for (int i = 0; i < products; i++)
        {
            for (int r = 0; r < size; r += 23)
            {
                for (int s = 0; s < size; s += 11)
                {
                    double sum = 0;
                    for (int p = 0; p < size; p++) sum += (double)a[(((i * size) + r) * size) + p] * b[(((i * size) + s) * size) + p];
                    Assert.Equal(sum, c[(((i * size) + r) * size) + s], 1e-4);
                }
            }
        }
    }

    [Fact]
    public void Steady_state_leaves_nothing_to_the_garbage_collector()
    {
        using var pool = new WorkerPool(1);
        var gemm = new ManagedGemm(pool);
        float[] a = new float[200 * 200], c = new float[200 * 200];
        fixed (float* pa = a, pc = c)
        {
            gemm.Multiply(false, true, 200, 200, 200, pa, 200, pa, 200, pc, 200, false);
            gemm.Multiply(false, true, 1, 200, 200, pa, 200, pa, 200, pc, 200, false);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 20; i++)
            {
                gemm.Multiply(false, true, 200, 200, 200, pa, 200, pa, 200, pc, 200, false);
                gemm.Multiply(false, true, 1, 200, 200, pa, 200, pa, 200, pc, 200, false);
            }
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        }
    }

    [Fact]
    public void A_system_library_gives_the_same_products()
    {
        using var pool = new WorkerPool(2);
        BlasGemm gemm;
        try
        {
            gemm = BlasGemm.Load(null, pool);
        }
        catch (DllNotFoundException missing)
        {
            Assert.Skip(missing.Message);
            return;
        }
        var random = new Random(13);
        for (int i = 0; i < 48; i++)
        {
            int m = random.Next(1, 131), n = random.Next(1, 131), k = random.Next(1, 131);
            Check(gemm, m, n, k, (i & 1) != 0, (i & 2) != 0, (i & 4) != 0, (i & 8) != 0, random);
        }
    }

    [Fact]
    public void A_missing_library_is_named()
    {
        using var pool = new WorkerPool(1);
        DllNotFoundException failure = Assert.Throws<DllNotFoundException>(() => BlasGemm.Load("no-such-blas", pool));
        Assert.Contains("'no-such-blas' (not found)", failure.Message, StringComparison.Ordinal);
    }

    private static float[] Values(long count, Random random)
    {
        float[] values = new float[count];
        for (int i = 0; i < values.Length; i++) values[i] = (random.NextSingle() * 2) - 1;
        return values;
    }

    /// <summary>Compares with sums in double precision; everything around the operands is NaN, everything around c is guarded.</summary>
    private static void Check(IGemm gemm, int m, int n, int k, bool transposeA, bool transposeB, bool accumulate, bool padded, Random random)
    {
        int pad = padded ? 5 : 0;
        (int aRows, int aColumns) = transposeA ? (k, m) : (m, k);
        (int bRows, int bColumns) = transposeB ? (n, k) : (k, n);
        int lda = aColumns + pad, ldb = bColumns + pad, ldc = n + pad;
        float[] a = Padded(aRows, aColumns, lda, random, float.NaN), b = Padded(bRows, bColumns, ldb, random, float.NaN);
        float[] c = Padded(m, n, ldc, random, Guard), before = [.. c];
        fixed (float* pa = a, pb = b, pc = c)
        {
            gemm.Multiply(transposeA, transposeB, m, n, k, pa + 3, lda, pb + 3, ldb, pc + 3, ldc, accumulate);
        }
        string label = $"{gemm.Name}: {m} x {n} x {k}, transposed {transposeA} {transposeB}, accumulate {accumulate}, {padded}";
        for (int index = 0; index < c.Length; index++)
        {
            int i = (index - 3) / ldc, j = (index - 3) % ldc;
            if (index < 3 || i >= m || j >= n)
            {
                Assert.True(c[index] == Guard, $"{label}: wrote outside at {index}");
                continue;
            }
            double sum = accumulate ? before[index] : 0, magnitude = Math.Abs(sum);
            for (int p = 0; p < k; p++)
            {
                double x = a[3 + (transposeA ? (p * lda) + i : (i * lda) + p)];
                double y = b[3 + (transposeB ? (j * ldb) + p : (p * ldb) + j)];
                sum += x * y;
                magnitude += Math.Abs(x * y);
            }
            Assert.True(Math.Abs(sum - c[index]) <= 1e-6 * (magnitude + 1), $"{label}: [{i}, {j}] is {c[index]}, not {sum}");
        }
    }

    private static float[] Padded(int rows, int columns, int stride, Random random, float outside)
    {
        float[] values = new float[3 + (rows * stride) + 3];
        Array.Fill(values, outside);
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++) values[3 + (i * stride) + j] = (random.NextSingle() * 2) - 1;
        }
        return values;
    }
}
