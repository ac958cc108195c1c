using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>The program as a process of its own, to be stopped from outside.</summary>
internal sealed partial class LrqProcess : IDisposable
{
    private const int Interrupt = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    private readonly Process _process;
    private readonly Task<string> _output;
    private readonly Task<string> _error;

    public LrqProcess(params string[] args)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "lrq.dll"), .. args])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        _process = Process.Start(start)!;
        _process.StandardInput.Close();
        _output = _process.StandardOutput.ReadToEndAsync();
        _error = _process.StandardError.ReadToEndAsync();
    }

    public bool HasExited => _process.HasExited;

    /// <summary>Waits until a condition holds or the process has ended; says whether the process still runs.</summary>
    public bool WaitUntil(Func<bool> condition)
    {
        long start = Stopwatch.GetTimestamp();
        while (!_process.HasExited && !condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, "The process did not come to the point in time.");
            Thread.Sleep(2);
        }
        return !_process.HasExited;
    }

    /// <summary>Ctrl-C.</summary>
    public void PressCtrlC() => Assert.Equal(0, Signal(_process.Id, Interrupt));

    /// <summary>SIGKILL: no handler, no clean-up.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    public async Task<CliResult> Finish()
    {
        if (!_process.WaitForExit(Patience))
        {
            _process.Kill();
            Assert.Fail("The process did not end in time.");
        }
        return new CliResult(_process.ExitCode, await _output, await _error);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);
}
