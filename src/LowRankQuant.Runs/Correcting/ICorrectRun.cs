using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Correcting;

/// <summary>Finds a branch for a quantized model.</summary>
public interface ICorrectRun
{
    /// <summary>Runs it, or goes on with it, and writes the adapter.</summary>
    /// <exception cref="OperationCanceledException">The token asked to stop; finished blocks are kept in the output folder.</exception>
    /// <exception cref="RunFolderException">The output folder holds another run, or files that no run made.</exception>
    CorrectReport Run(CorrectJob job, IRunObserver observer, CancellationToken cancellation);
}
