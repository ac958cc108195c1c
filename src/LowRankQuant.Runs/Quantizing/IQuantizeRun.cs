using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Quantizing;

/// <summary>Quantizes a model, writes the result and measures it.</summary>
public interface IQuantizeRun
{
    /// <summary>Runs a job, or goes on with what an earlier session left; a finished run only reports.</summary>
    /// <exception cref="RunFolderException">The output folder holds something else.</exception>
    /// <exception cref="OperationCanceledException">The token asked to stop; finished blocks stay.</exception>
    RunReport Run(QuantizeJob job, IRunObserver observer, CancellationToken cancellation);
}
