namespace LowRankQuant.Numerics;

/// <summary>A block of 32-bit floats that belongs to a <see cref="Device"/>. Disposing it gives the memory back to the device's pool.</summary>
public abstract class Storage : IDisposable
{
    /// <summary>Creates a block of <paramref name="length"/> floats on <paramref name="device"/>.</summary>
    protected Storage(Device device, long length)
    {
        Device = device;
        Length = length;
    }

    /// <summary>The owner.</summary>
    public Device Device { get; }

    /// <summary>Number of floats.</summary>
    public long Length { get; }

    /// <summary>Address of the first float when the memory can be reached by the processor, else null.</summary>
    public abstract unsafe float* HostPointer { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases the memory; called once or more.</summary>
    protected abstract void Dispose(bool disposing);
}
