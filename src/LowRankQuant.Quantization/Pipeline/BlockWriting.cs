using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// Writes a finished block while the next one is read and the windows pass through it; one at a time. Whoever looks on is told of a block when it is on disk, on the thread that
/// calls <see cref="Finish"/>.
/// </summary>
/// <param name="folder">The run.</param>
/// <param name="progress">Told about every block on disk; null for nobody.</param>
internal sealed class BlockWriting(RunFolder folder, IProgress<BlockReport>? progress) : IDisposable
{
    private Task? _writing;
    private BlockReport? _report;

    /// <summary>Begins to write a block.</summary>
    /// <param name="tensors">Its tensors, which may be made while they are written.</param>
    /// <param name="report">What became of it.</param>
    public void Begin(IReadOnlyList<PendingTensor> tensors, BlockReport report)
    {
        Finish();
        _report = report;
        _writing = Task.Run(() => folder.WriteBlock(report.Index, tensors, report));
    }

    /// <summary>Waits until what was begun is on disk.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Finish()
    {
        if (_writing is null) return;
        Task writing = _writing;
        _writing = null;
        writing.GetAwaiter().GetResult();
        progress?.Report(_report!);
    }

    /// <summary>Waits as well, where the run was stopped or failed; that is told already, and how the writing ended shows in the folder.</summary>
    public void Dispose()
    {
        if (_writing is null) return;
        Task.WaitAny(_writing);
        if (_writing.IsCompletedSuccessfully) progress?.Report(_report!);
        _ = _writing.Exception;
        _writing = null;
    }
}
