using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Runs.Measuring;

/// <summary>
/// The rows of a run's figures: the original, and models beside it. The original runs once; its hidden states are kept in memory or in the run's folder until all rows are measured.
/// One model's blocks are loaded at a time, with all of the memory. Where the disk has no room for the states the original runs again for every row.
/// </summary>
internal sealed class RowMeasurement : IDisposable
{
    private readonly IReadOnlyList<TextWindow> _windows;
    private readonly ModelRunnerOptions _whole;
    private readonly PairMemory? _keeping;
    private readonly KeptStates? _states;
    private readonly ModelRunner _original;
    private readonly IRunObserver _observer;
    private readonly CancellationToken _cancellation;

    /// <param name="original">The original; not owned.</param>
    /// <param name="windows">At least one.</param>
    /// <param name="whole">Memory of all, and the folder for what it has no place for.</param>
    /// <param name="observer">Is told how far it is.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public RowMeasurement(CausalModel original, IReadOnlyList<TextWindow> windows, ModelRunnerOptions whole, IRunObserver observer, CancellationToken cancellation)
    {
        (_windows, _whole, _observer, _cancellation) = (windows, whole, observer, cancellation);
        long bytes = KeptStates.Bytes(windows, original.Config.HiddenSize);
        PairMemory keeping = PairMemory.OfKept(original, bytes, whole);
        if (keeping.States.MemoryBytes >= bytes || DiskSpace.Shortage(keeping.States.Scratch, bytes) is null)
        {
            _keeping = keeping;
            _states = new KeptStates(windows, original.Config.HiddenSize, keeping.States);
        }
        _original = new ModelRunner(original, _keeping?.Reference ?? PairMemory.Of(original, original, whole).Reference);
    }

    /// <summary>Bytes of all of the memory.</summary>
    public long Budget => _whole.Budget;

    /// <summary>The original by itself; comes first.</summary>
    public EvaluationResult Original() => Evaluate(new Evaluator(_original) { KeepsIn = _states }, new EvaluationOptions(), _original);

    /// <summary>A model beside the original.</summary>
    /// <param name="model">The model; not owned.</param>
    /// <param name="block">Its blocks where they are not its own.</param>
    /// <param name="embedding">Its embedding where it is not its own.</param>
    /// <param name="head">Its head where it is not its own.</param>
    /// <param name="depth">Makes a report in depth of it; null for nobody.</param>
    public EvaluationResult Beside(
        CausalModel model, Func<int, IDecoderBlock>? block = null, Func<InputEmbedding>? embedding = null, Func<OutputHead>? head = null, DepthMeasurement? depth = null)
    {
        PairMemory memory = _keeping ?? PairMemory.Of(model, _original.Model, _whole);
        using var runner = new ModelRunner(model, memory.Model, block) { EmbeddingSource = embedding, HeadSource = head };
        var options = new EvaluationOptions { Memory = memory.States, Sharing = memory.Sharing };
        EvaluationResult result = Evaluate(new Evaluator(runner, _original) { Kept = _states, Depth = depth?.Collector }, options, runner);
        if (depth is null) return result;
        result = depth.Complete(result, _original, _whole.MemoryBytes);
        // What is between here and there has given its blocks back.
        runner.Dispose();
        return DepthMeasurement.WithFloor(result, () =>
        {
            PairMemory own = _keeping ?? PairMemory.Of(_original.Model, _original.Model, _whole);
            return FloorMeasurement.Measure(_original, _windows, new EvaluationOptions { Memory = own.States, Sharing = own.Sharing }, own.Model, _states, _observer, _cancellation);
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _original.Dispose();
        _states?.Dispose();
    }

    // Whose blocks have run makes room for the next.
    private EvaluationResult Evaluate(Evaluator evaluator, EvaluationOptions options, ModelRunner runner)
    {
        var progress = new Reporter<EvaluationProgress>(value => _observer.Progress(value.Done, value.Total));
        EvaluationResult result = evaluator.Evaluate(_windows, options, progress, _cancellation);
        runner.ReleaseBlocks();
        return result;
    }
}
