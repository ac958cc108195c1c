using LowRankQuant.Evaluation;

namespace LowRankQuant.Runs;

/// <summary>Hands progress on to an observer.</summary>
/// <param name="observer">The observer.</param>
/// <param name="expected">About how many steps there are, where the work itself does not know; null for no idea.</param>
internal sealed class ObserverProgress(IRunObserver observer, Func<int>? expected = null) : IProgress<EvaluationProgress>
{
    public void Report(EvaluationProgress value) =>
        observer.Progress(value.Done, value.Total > 0 || expected is null ? value.Total : Math.Max(value.Done, expected()));
}
