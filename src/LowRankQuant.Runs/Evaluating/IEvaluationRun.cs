using LowRankQuant.Evaluation.Figures;

namespace LowRankQuant.Runs.Evaluating;

/// <summary>Measures a model.</summary>
public interface IEvaluationRun
{
    /// <summary>Runs a measurement.</summary>
    /// <exception cref="OperationCanceledException">The token asked to stop.</exception>
    EvaluationResult Run(EvaluationJob job, IRunObserver observer, CancellationToken cancellation);
}
