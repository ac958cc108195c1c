using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>The reference's states of a turn, computed in front of the model's.</summary>
/// <param name="model">The model, which makes room where the two take turns in memory.</param>
/// <param name="reference">The reference.</param>
/// <param name="options">How they share memory, and what the states may take.</param>
internal sealed class ComputedStates(ModelRunner model, ModelRunner reference, EvaluationOptions options) : IReferenceStates
{
    /// <inheritdoc/>
    public ITurnStates Of(int first, IReadOnlyList<int[]> windows, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        int rows = windows.Max(window => window.Length), columns = reference.Model.Config.HiddenSize;
        var store = new ActivationStore(windows.Count, rows, columns, new MemoryBudget(options.Memory.Budget), options.Memory.Scratch);
        try
        {
            if (options.Sharing == MemorySharing.InTurn) model.ReleaseBlocks();
            reference.Run(windows, store.Write, progress is null ? null : new ReferenceProgress(progress), cancellation);
            if (options.Sharing == MemorySharing.InTurn) reference.ReleaseBlocks();
            return new Turn(store);
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    private sealed class Turn(ActivationStore store) : ITurnStates
    {
        public void Read(int window, Tensor destination) => store.Read(window, destination);

        public void Dispose() => store.Dispose();
    }

    private sealed class ReferenceProgress(IProgress<EvaluationProgress> inner) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value) => inner.Report(value with { Phase = $"reference {value.Phase}" });
    }
}
