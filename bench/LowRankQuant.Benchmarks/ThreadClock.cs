using System.Runtime.InteropServices;

namespace LowRankQuant.Benchmarks;

/// <summary>Processor time (Linux): what other processes take of a shared machine does not count.</summary>
internal static partial class ThreadClock
{
    private const int ProcessProcessorTime = 2;
    private const int ThreadProcessorTime = 3;

    /// <summary>Of the calling thread.</summary>
    public static double Seconds => Read(ThreadProcessorTime);

    /// <summary>Of all threads of the process together.</summary>
    public static double ProcessSeconds => Read(ProcessProcessorTime);

    private static double Read(int clock)
    {
        if (GetTime(clock, out Timespec time) != 0) throw new PlatformNotSupportedException("Processor time cannot be read here.");
        return time.Seconds + (time.Nanoseconds * 1e-9);
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out Timespec time);

    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }
}
