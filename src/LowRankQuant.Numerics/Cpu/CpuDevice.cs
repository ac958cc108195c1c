using System.Numerics;
using System.Runtime.InteropServices;

namespace LowRankQuant.Numerics.Cpu;

/// <summary>The processor's main memory: 64-byte aligned blocks from a pool of sizes, kernels on a <see cref="WorkerPool"/>.</summary>
public sealed class CpuDevice : Device
{
    // Blocks come in eight sizes per power of two, so that those of nearly equal shapes serve each other: batches of text rarely have equal numbers
    // of rows. What is beyond the shape is never touched, and so takes no memory.
    private const long SmallestGranule = 4096;
    private readonly Lock _gate = new();
    private readonly Dictionary<long, Stack<nint>> _free = [];
    private long _inUse;
    private bool _disposed;

    /// <summary>Creates the device.</summary>
    /// <param name="options">Threads and kernels; null for all cores and the fastest managed kernels.</param>
    public CpuDevice(CpuDeviceOptions? options = null)
    {
        options ??= new CpuDeviceOptions();
        Pool = new WorkerPool(options.Threads ?? Environment.ProcessorCount);
        Kernels = options.CreateKernels(Pool);
        Name = $"cpu {Kernels.Name}, {Pool.Threads} thread{(Pool.Threads == 1 ? "" : "s")}";
    }

    /// <inheritdoc/>
    public override WorkerPool HostWorkers => Pool;

    private WorkerPool Pool { get; }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override IKernels Kernels { get; }

    /// <inheritdoc/>
    public override long BytesInUse => Interlocked.Read(ref _inUse);

    /// <inheritdoc/>
    public override unsafe Storage Allocate(long length)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        long bytes = BlockSize(checked(length * sizeof(float)));
        nint block = 0;
        lock (_gate)
        {
            if (_free.TryGetValue(bytes, out Stack<nint>? stack) && stack.Count > 0) block = stack.Pop();
        }
        if (block == 0) block = (nint)NativeMemory.AlignedAlloc((nuint)bytes, 64);
        Interlocked.Add(ref _inUse, bytes);
        return new CpuStorage(this, length, block, bytes);
    }

    /// <inheritdoc/>
    public override unsafe void Trim()
    {
        lock (_gate)
        {
            foreach (Stack<nint> stack in _free.Values)
            {
                while (stack.Count > 0) NativeMemory.AlignedFree((void*)stack.Pop());
            }
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (_disposed) return;
        _disposed = true;
        Trim();
        if (disposing) Pool.Dispose();
    }

    private static long BlockSize(long bytes)
    {
        bytes = Math.Max(bytes, 1);
        long granule = Math.Max(SmallestGranule, (long)(BitOperations.RoundUpToPowerOf2((ulong)bytes) / 16));
        return checked(bytes + granule - 1) / granule * granule;
    }

    private unsafe void Return(nint block, long bytes)
    {
        Interlocked.Add(ref _inUse, -bytes);
        lock (_gate)
        {
            if (!_disposed)
            {
                if (!_free.TryGetValue(bytes, out Stack<nint>? stack)) _free[bytes] = stack = new Stack<nint>();
                stack.Push(block);
                return;
            }
        }
        NativeMemory.AlignedFree((void*)block);
    }

    private sealed class CpuStorage(CpuDevice device, long length, nint block, long bytes) : Storage(device, length)
    {
        private nint _block = block;

        // A tensor that is dropped without Dispose must not leak memory that the collector does not see.
        ~CpuStorage() => Dispose(false);

        public override unsafe float* HostPointer
        {
            get
            {
                ObjectDisposedException.ThrowIf(_block == 0, this);
                return (float*)_block;
            }
        }

        protected override void Dispose(bool disposing)
        {
            nint owned = Interlocked.Exchange(ref _block, 0);
            if (owned != 0) device.Return(owned, bytes);
        }
    }
}
