using System.Runtime.InteropServices;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Scalar;
using LowRankQuant.Numerics.Kernels.Simd;
using LowRankQuant.Numerics.Kernels.Simd.Gemm;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Vector kernels of every width and of one to three threads beside the scalar reference.</summary>
public sealed class KernelTwins : IDisposable
{
    private static readonly int[] ThreadCounts = [1, 2, 3];
    private readonly WorkerPool[] _pools = [.. ThreadCounts.Select(threads => new WorkerPool(threads))];
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Kernels = CpuKernelKind.Scalar, Threads = 1 });

    public static IEnumerable<int> Widths => new[] { 512, 256, 128 }.Where(SimdKernels.Supports);

    internal IKernels Scalar { get; } = new ScalarKernels();

    internal IKernels Simd(int bits, int threads)
    {
        WorkerPool pool = _pools[Array.IndexOf(ThreadCounts, threads)];
        return new SimdKernels(pool, new ManagedGemm(pool), bits);
    }

    internal Tensor From(float[] values, params int[] shape) => _device.From(values, shape);

    /// <summary>A tensor that begins as not-a-number everywhere, so that what is not written shows.</summary>
    internal Tensor Empty(params int[] shape)
    {
        Tensor tensor = _device.Empty(shape);
        tensor.Span.Fill(float.NaN);
        return tensor;
    }

    internal static float[] Random(SeededRandom random, int count, double scale = 1)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++) values[i] = (float)(scale * random.NextGaussian());
        return values;
    }

    /// <summary>Runs the same operation everywhere. Every width has to come near the reference, every number of threads to the same bits.</summary>
    internal void Compare(Func<IKernels, Tensor[]> operation, double tolerance = 2e-6, string what = "")
    {
        float[][] expected = Values(operation(Scalar));
        foreach (int bits in Widths)
        {
            float[][] one = Values(operation(Simd(bits, 1)));
            for (int i = 0; i < expected.Length; i++) Near(expected[i], one[i], tolerance, $"{what} output {i}, {bits} bits");
            foreach (int threads in ThreadCounts.Skip(1))
            {
                float[][] more = Values(operation(Simd(bits, threads)));
                for (int i = 0; i < one.Length; i++)
                {
                    bool same = MemoryMarshal.AsBytes<float>(one[i]).SequenceEqual(MemoryMarshal.AsBytes<float>(more[i]));
                    Assert.True(same, $"{what} output {i}, {bits} bits: {threads} threads give other bits than one.");
                }
            }
        }
    }

    /// <summary>Differences of at most a part of the largest element.</summary>
    internal static void Near(IReadOnlyList<float> expected, IReadOnlyList<float> actual, double tolerance, string what)
    {
        Assert.Equal(expected.Count, actual.Count);
        double largest = expected.Count == 0 ? 0 : expected.Max(value => Math.Abs((double)value));
        for (int i = 0; i < expected.Count; i++)
        {
            // Written so that not-a-number fails.
            if (Math.Abs((double)expected[i] - actual[i]) <= tolerance * largest) continue;
            Assert.Fail($"{what} [{i}]: {actual[i]:r} for {expected[i]:r}, largest {largest:r}");
        }
    }

    public void Dispose()
    {
        foreach (WorkerPool pool in _pools) pool.Dispose();
        _device.Dispose();
    }

    private static float[][] Values(Tensor[] tensors) => [.. tensors.Select(tensor => tensor.ToArray())];
}
