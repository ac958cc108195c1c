using System.Runtime.InteropServices;

namespace LowRankQuant.Numerics.Kernels;

/// <summary>Aligned work memory that kernels borrow for the time of one call and that is kept for the next.</summary>
internal sealed unsafe class ScratchPool
{
    private readonly Lock _gate = new();
    private readonly Stack<nint>[] _free = new Stack<nint>[64];

    ~ScratchPool()
    {
        foreach (Stack<nint>? stack in _free)
        {
            while (stack is not null && stack.TryPop(out nint block)) NativeMemory.AlignedFree((void*)block);
        }
    }

    /// <summary>Borrows at least <paramref name="length"/> floats of undefined contents.</summary>
    public Lease Rent(long length)
    {
        int size = 64 - System.Numerics.BitOperations.LeadingZeroCount((ulong)Math.Max(length, 1024) - 1);
        nint block = 0;
        lock (_gate)
        {
            if (_free[size] is { Count: > 0 } stack) block = stack.Pop();
        }
        if (block == 0) block = (nint)NativeMemory.AlignedAlloc(checked(((nuint)1 << size) * sizeof(float)), 64);
        return new Lease(this, block, size);
    }

    private void Return(nint block, int size)
    {
        lock (_gate) (_free[size] ??= new Stack<nint>()).Push(block);
    }

    /// <summary>Borrowed memory; disposing it gives it back.</summary>
    internal readonly struct Lease(ScratchPool pool, nint block, int size) : IDisposable
    {
        public float* Pointer => (float*)block;

        public void Dispose() => pool.Return(block, size);
    }
}
