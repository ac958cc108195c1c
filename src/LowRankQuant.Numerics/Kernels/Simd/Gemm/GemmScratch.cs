using System.Runtime.InteropServices;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>Native buffers of one size that are lent out and used again; as many exist as were in use at the same time.</summary>
internal sealed unsafe class GemmScratch(long length)
{
    // Page alignment keeps a packed panel on as few pages as can be.
    private const nuint Alignment = 4096;
    private readonly Lock _gate = new();
    private readonly Stack<nint> _free = [];

    ~GemmScratch()
    {
        while (_free.TryPop(out nint buffer)) NativeMemory.AlignedFree((void*)buffer);
    }

    /// <summary>A buffer with undefined contents, until <see cref="Return"/>.</summary>
    public float* Rent()
    {
        lock (_gate)
        {
            if (_free.TryPop(out nint buffer)) return (float*)buffer;
        }
        return (float*)NativeMemory.AlignedAlloc((nuint)length * sizeof(float), Alignment);
    }

    public void Return(float* buffer)
    {
        lock (_gate) _free.Push((nint)buffer);
    }
}
