using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Tuning;

namespace LowRankQuant.Tests.Quantization.Tuning;

/// <summary>Where tuning stands, to a file and back.</summary>
public sealed class TuningStateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    /// <summary>With codes, what is learned is as large as the model: a copy of it for the file, or five, is what no plan has room for.</summary>
    [Fact]
    public void AStateComesBackAndPassesThroughMemoryInParts()
    {
        const int count = 3_000_000;
        using ParameterArena arena = Arena(1);
        arena.Keep();
        float[] kept = arena.Values.ToArray();
        Fill(arena.Values, 4);
        var state = new TuningState(7, 0.5, 0.25, 3);
        string path = _folder.File("state.safetensors");
        long written = Allocated(() => state.Write(path, arena));
        using ParameterArena other = Arena(9);
        TuningState? read = null;
        long loaded = Allocated(() => read = TuningState.TryRead(path, other));
        Assert.Equal(state, read);
        Assert.Equal(arena.Values.ToArray(), other.Values.ToArray());
        Assert.Equal(arena.FirstMoment.ToArray(), other.FirstMoment.ToArray());
        Assert.Equal(arena.SecondMoment.ToArray(), other.SecondMoment.ToArray());
        Assert.Equal(kept, other.Kept.ToArray());
        other.Restore();
        Assert.Equal(kept, other.Values.ToArray());
        // Four parts of a million floats each way, and what a file takes by itself.
        Assert.InRange(written, 0, 5L << 22);
        Assert.InRange(loaded, 0, 5L << 22);

        ParameterArena Arena(int seed)
        {
            var made = new ParameterArena(_device, count, 1);
            made.TakeZeros(count);
            Fill(made.Values, seed);
            Fill(made.FirstMoment, seed + 1);
            Fill(made.SecondMoment, seed + 2);
            return made;
        }
    }

    private static long Allocated(Action work)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        work();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static void Fill(Tensor tensor, int seed)
    {
        Span<float> values = tensor.Span;
        for (int i = 0; i < values.Length; i++) values[i] = (i % 1009) + seed;
    }
}
