using LowRankQuant.Numerics;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>Where the final hidden states of a reference come from, a turn of windows at a time: computed, kept in memory, or read from disk.</summary>
internal interface IReferenceStates
{
    /// <summary>Gets the states of a turn ready.</summary>
    /// <param name="first">Number of its first window among all.</param>
    /// <param name="windows">Token ids of its windows.</param>
    /// <param name="progress">Told about what is computed.</param>
    /// <param name="cancellation">Ends the work.</param>
    ITurnStates Of(int first, IReadOnlyList<int[]> windows, IProgress<EvaluationProgress>? progress, CancellationToken cancellation);
}

/// <summary>The states of a turn.</summary>
internal interface ITurnStates : IDisposable
{
    /// <summary>Reads those of a window.</summary>
    /// <param name="window">Its number within the turn.</param>
    /// <param name="destination">[length, hidden].</param>
    void Read(int window, Tensor destination);
}
