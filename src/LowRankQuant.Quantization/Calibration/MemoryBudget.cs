namespace LowRankQuant.Quantization.Calibration;

/// <summary>Bytes that activations may take in memory; what does not fit goes to disk.</summary>
/// <param name="bytes">The budget.</param>
public sealed class MemoryBudget(long bytes)
{
    private long _free = bytes;

    /// <summary>The whole budget.</summary>
    public long Bytes { get; } = bytes;

    /// <summary>What is left of it.</summary>
    public long Free => Interlocked.Read(ref _free);

    /// <summary>Takes <paramref name="wanted"/> bytes when they are there.</summary>
    public bool TryReserve(long wanted)
    {
        if (Interlocked.Add(ref _free, -wanted) >= 0) return true;
        Interlocked.Add(ref _free, wanted);
        return false;
    }

    /// <summary>Gives bytes back.</summary>
    public void Release(long reserved) => Interlocked.Add(ref _free, reserved);
}
