namespace LowRankQuant.Numerics;

/// <summary>Where tensors live and by what code they are computed. Callers never look behind this class, so another kind of device is another subclass.</summary>
public abstract class Device : IDisposable
{
    /// <summary>A short name for reports, such as <c>cpu simd AVX-512, 2 threads</c>.</summary>
    public abstract string Name { get; }

    /// <summary>The operations of this device.</summary>
    public abstract IKernels Kernels { get; }

    /// <summary>
    /// What products of linear layers are rounded to on tapes that begin from now on, backward passes included. <see cref="With"/> sets it for a while.
    /// </summary>
    public Precision Precision { get; private set; }

    /// <summary>Computes products of linear layers in a precision until the result is disposed of.</summary>
    public IDisposable With(Precision precision)
    {
        var scope = new PrecisionScope(this, Precision);
        Precision = precision;
        return scope;
    }

    /// <summary>Threads for work on host memory, such as grid searches.</summary>
    public abstract WorkerPool HostWorkers { get; }

    /// <summary>Bytes now handed out, without what the pool keeps in reserve.</summary>
    public abstract long BytesInUse { get; }

    /// <summary>Takes a block of at least <paramref name="length"/> floats from the pool. The contents are undefined.</summary>
    /// <exception cref="OutOfMemoryException">The memory cannot be had.</exception>
    public abstract Storage Allocate(long length);

    /// <summary>Gives the memory that the pool keeps in reserve back to the system.</summary>
    public abstract void Trim();

    /// <summary>A tensor of undefined contents.</summary>
    public Tensor Empty(params ReadOnlySpan<int> shape) => new(Allocate(Tensor.CountOf(shape)), shape);

    /// <summary>A tensor of zeros.</summary>
    public Tensor Zeros(params ReadOnlySpan<int> shape)
    {
        Tensor tensor = Empty(shape);
        Kernels.Fill(tensor, 0);
        return tensor;
    }

    /// <summary>A tensor with a copy of <paramref name="values"/>, row-major.</summary>
    /// <exception cref="ArgumentException">The number of values is not the product of the shape.</exception>
    public Tensor From(ReadOnlySpan<float> values, params ReadOnlySpan<int> shape)
    {
        Tensor tensor = Empty(shape);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases threads and memory.</summary>
    protected abstract void Dispose(bool disposing);

    private sealed class PrecisionScope(Device device, Precision before) : IDisposable
    {
        public void Dispose() => device.Precision = before;
    }
}
