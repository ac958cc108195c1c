using System.Runtime.InteropServices;

namespace LowRankQuant.Cli;

/// <summary>Ctrl-C and SIGTERM as a token: the first asks the work to stop, the second ends the process.</summary>
internal sealed class StopSignal : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly PosixSignalRegistration[] _registrations;
    private readonly TextWriter _error;
    private int _signals;

    public StopSignal(TextWriter error, CancellationToken also)
    {
        _error = error;
        _source = CancellationTokenSource.CreateLinkedTokenSource(also);
        _registrations = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle)];
    }

    public CancellationToken Token => _source.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations) registration.Dispose();
        _source.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        if (Interlocked.Increment(ref _signals) > 1) Environment.Exit(ExitCodes.Interrupted);
        context.Cancel = true;
        _error.WriteLine("Stopping; once more stops at once.");
        _source.Cancel();
    }
}
