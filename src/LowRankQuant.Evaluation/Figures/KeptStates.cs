using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>The states of all windows of a measurement, kept while the original itself is measured and read while others are compared with it.</summary>
/// <param name="windows">The windows of every measurement.</param>
/// <param name="columns">Width of the residual stream.</param>
/// <param name="memory">Memory to take; the disk of its scratch folder beyond it.</param>
internal sealed class KeptStates(IReadOnlyList<TextWindow> windows, int columns, ModelRunnerOptions memory) : IReferenceStates, IDisposable
{
    private readonly ActivationStore _store = new(windows.Count, Longest(windows), columns, new MemoryBudget(memory.Budget), memory.Scratch);

    /// <summary>Bytes that the states of windows take.</summary>
    public static long Bytes(IReadOnlyList<TextWindow> windows, int columns) => (long)windows.Count * Longest(windows) * columns * sizeof(float);

    /// <summary>Keeps a window's states.</summary>
    /// <param name="window">Its number.</param>
    /// <param name="states">[length, hidden].</param>
    public void Write(int window, Tensor states) => _store.Write(window, states);

    /// <inheritdoc/>
    public ITurnStates Of(int first, IReadOnlyList<int[]> windows, IProgress<EvaluationProgress>? progress, CancellationToken cancellation) => new Turn(_store, first);

    /// <inheritdoc/>
    public void Dispose() => _store.Dispose();

    private static int Longest(IReadOnlyList<TextWindow> windows) => windows.Max(window => window.Ids.Length);

    private sealed class Turn(ActivationStore store, int first) : ITurnStates
    {
        public void Read(int window, Tensor destination) => store.Read(first + window, destination);

        public void Dispose()
        {
            // The store outlives its turns.
        }
    }
}
