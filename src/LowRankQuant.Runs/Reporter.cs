namespace LowRankQuant.Runs;

/// <summary>Hands progress on, in the order in which it comes and from the same thread.</summary>
internal sealed class Reporter<T>(Action<T> report) : IProgress<T>
{
    public void Report(T value) => report(value);
}
