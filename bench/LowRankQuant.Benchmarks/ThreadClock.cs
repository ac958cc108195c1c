using System.Runtime.InteropServices;

namespace LowRankQuant.Benchmarks;

/// <summary>Processor time of the calling thread (Linux): what other processes take of a shared machine does not count.</summary>
internal static partial class ThreadClock
{
    private const int ThreadProcessorTime = 3;

    public static double Seconds
    {
        get
        {
            int result = GetTime(ThreadProcessorTime, out Timespec time);
            if (result != 0) throw new PlatformNotSupportedException("The thread's processor time cannot be read here.");
            return time.Seconds + (time.Nanoseconds * 1e-9);
        }
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
