using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Numerics;

namespace LowRankQuant.Runs.Measuring;

/// <summary>The noise floor of bf16: the original beside itself with products of linears rounded to bf16, on the windows of a comparison. One pass of it more, on any kernels.</summary>
internal static class FloorMeasurement
{
    /// <summary>Measures it.</summary>
    /// <param name="reference">The original in 32-bit floats; its blocks are used where its states are not kept.</param>
    /// <param name="windows">The windows of the comparison.</param>
    /// <param name="options">What was averaged and compared there.</param>
    /// <param name="memory">Memory of the pass.</param>
    /// <param name="kept">The original's states of these windows; null to compute them.</param>
    /// <param name="observer">Is told how far it is.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static NoiseFloor Measure(
        ModelRunner reference, IEnumerable<TextWindow> windows, EvaluationOptions options, ModelRunnerOptions memory, KeptStates? kept, IRunObserver observer, CancellationToken cancellation)
    {
        observer.Stage(RunStage.Floor);
        // Kernels without instructions for bf16 round a copy of each matrix; the largest is the head.
        ModelRunnerOptions less = memory with { MemoryBytes = Math.Max(0, memory.Budget - ModelRunner.HeadBytes(reference.Model)) };
        using var rounded = new ModelRunner(reference.Model, less) { Precision = Precision.BFloat16 };
        EvaluationResult figures = new Evaluator(rounded, reference) { Kept = kept }.Evaluate(
            windows, options, new Reporter<EvaluationProgress>(value => observer.Progress(value.Done, value.Total)), cancellation);
        return new NoiseFloor(figures.KlDivergence!.Value, figures.StandardErrors.TryGetValue("klDivergence", out double error) ? error : null, figures.Top1Agreement!.Value);
    }
}
