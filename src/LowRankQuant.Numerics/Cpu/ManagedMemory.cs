namespace LowRankQuant.Numerics.Cpu;

/// <summary>
/// Large arrays that nothing refers to any more. The collector leaves them until a share of all that is alive has been let go, so that the memory of a run would depend on when it
/// happens to look; work that lets go of much says so.
/// </summary>
public static class ManagedMemory
{
    // Less is not worth the milliseconds of a look.
    private const long Much = 8L << 20;

    /// <summary>Takes back what was let go, where it was much: an array of so many bytes.</summary>
    /// <param name="bytes">Bytes of the arrays that the work goes through.</param>
    public static void TakeBack(long bytes)
    {
        if (bytes >= Much) Release();
    }

    /// <summary>Takes back all that was let go, and gives it back to the system.</summary>
    public static void Release() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
}
