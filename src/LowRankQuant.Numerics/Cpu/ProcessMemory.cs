using System.Diagnostics;

namespace LowRankQuant.Numerics.Cpu;

/// <summary>The largest resident memory of this process, pages of mapped files included, in all and within a section of its work.</summary>
public static class ProcessMemory
{
    private const string Watermark = "/proc/self/clear_refs";

    // Sets the kernel's high-water mark to what is resident now (proc(5)).
    private const string ResetWatermark = "5";

    private static long _earlier;

    /// <summary>The largest since the process began, bytes.</summary>
    public static long Peak
    {
        get
        {
            using Process process = Process.GetCurrentProcess();
            return Math.Max(Volatile.Read(ref _earlier), process.PeakWorkingSet64);
        }
    }

    /// <summary>Begins a section; there is one at a time.</summary>
    /// <returns>Gives the largest since then, bytes; null where the system does not let it be told, which is everywhere but on Linux.</returns>
    public static Func<long?> BeginSection()
    {
        if (!OperatingSystem.IsLinux()) return () => null;
        Volatile.Write(ref _earlier, Peak);
        try
        {
            File.WriteAllText(Watermark, ResetWatermark);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return () => null;
        }
        return () =>
        {
            using Process process = Process.GetCurrentProcess();
            return process.PeakWorkingSet64;
        };
    }
}
