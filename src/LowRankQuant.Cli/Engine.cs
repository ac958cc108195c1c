using LowRankQuant.Evaluation.Runs;

namespace LowRankQuant.Cli;

/// <summary>What does the work behind the commands.</summary>
/// <param name="Quantize">Quantizes and measures.</param>
/// <param name="Evaluate">Measures.</param>
internal sealed record Engine(IQuantizeRun Quantize, IEvaluationRun Evaluate)
{
    /// <summary>The real one.</summary>
    public static Engine Default { get; } = new(new Missing(), new EvaluationRun());

    private sealed class Missing : IQuantizeRun
    {
        public RunReport Run(QuantizeJob job, IRunObserver observer, CancellationToken cancellation) => throw new NotSupportedException("quantize is not there yet.");
    }
}
