using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Benchmarks;

/// <summary>A processor whose operations are timed. Its tensors belong to the device inside, so host reads and writes stay direct.</summary>
internal sealed class TimedDevice(CpuDevice inner) : Device
{
    public TimedKernels Timed { get; } = new(inner.Kernels);

    public override string Name => inner.Name;

    public override IKernels Kernels => Timed;

    public override WorkerPool HostWorkers => inner.HostWorkers;

    public override long BytesInUse => inner.BytesInUse;

    public override Storage Allocate(long length) => inner.Allocate(length);

    public override void Trim() => inner.Trim();

    protected override void Dispose(bool disposing)
    {
        if (disposing) inner.Dispose();
    }
}
