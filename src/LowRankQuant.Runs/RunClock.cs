using System.Diagnostics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Runs;

/// <summary>Time and memory of a run over all its sessions: what this one takes is added to what earlier ones left in the run folder.</summary>
internal sealed class RunClock : IDisposable
{
    private static readonly TimeSpan BetweenSaves = TimeSpan.FromSeconds(2);

    private readonly RunFolder _folder;
    private readonly RunEffort _earlier;
    private readonly long _start;
    private long _saved;
    private bool _finished;

    /// <param name="folder">The run.</param>
    /// <param name="start">When this session began, a timestamp of <see cref="Stopwatch"/>.</param>
    public RunClock(RunFolder folder, long start)
    {
        _folder = folder;
        _start = start;
        _earlier = folder.ReadEffort();
    }

    /// <summary>What all sessions have taken, this one up to now.</summary>
    public RunEffort Total => new RunEffort(_earlier.Seconds + Stopwatch.GetElapsedTime(_start).TotalSeconds, Math.Max(_earlier.PeakMemoryBytes, ProcessMemory.Peak));

    /// <summary>Keeps what was taken so far, now and then, for a session that goes on after this one was killed.</summary>
    public void Save()
    {
        if (Stopwatch.GetElapsedTime(_saved) < BetweenSaves) return;
        _saved = Stopwatch.GetTimestamp();
        _folder.WriteEffort(Total);
    }

    /// <summary>The run is done: its report holds the sums from now on.</summary>
    public void Finish() => _finished = true;

    /// <summary>Keeps what was taken where the run is not finished: stopped, failed, or some blocks alone.</summary>
    public void Dispose()
    {
        if (!_finished) _folder.WriteEffort(Total);
    }
}
