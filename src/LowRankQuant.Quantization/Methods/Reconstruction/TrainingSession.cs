using System.Globalization;
using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// One block's training from first to kept parameters: the order of windows, the keeping of the best iterate, and what happens when the loss runs away.
/// </summary>
internal sealed class TrainingSession(
    BlockContext context, TrainingSettings options, BlockTrainer trainer, ParameterArena arena, BlockStreams streams, Action<float> soften)
{
    private const int MeasuredWindows = 8;
    private readonly List<string> _warnings = [];

    /// <summary>
    /// Trains; starts again with a smaller rate when the loss diverges (<see cref="TrainingSettings.Restarts"/>), and falls back to where it began
    /// when that does not help either.
    /// </summary>
    /// <param name="rateCut">Divides the rate of every new attempt.</param>
    /// <param name="fallback">What the block is then, for the warning.</param>
    public QuantizedBlock Run(double rateCut, string fallback)
    {
        float[] start = arena.Values.ToArray();
        double rate = options.LearningRate;
        for (int attempt = 0; attempt <= options.Restarts; attempt++)
        {
            if (Train(rate) is { } kept) return new QuantizedBlock([]) { Warnings = _warnings, KeptIteration = kept };
            arena.Values.CopyFrom(start);
            arena.ResetMoments();
            _warnings.Add(string.Create(CultureInfo.InvariantCulture, $"block {context.Block.Index}: no better than its start at learning rate {rate:G3}"));
            rate /= rateCut;
        }
        _warnings.Add($"block {context.Block.Index}: {fallback}, because training made it no better at any rate tried");
        return new QuantizedBlock([]) { Warnings = _warnings, KeptIteration = 0 };
    }

    /// <summary>One training; returns the iteration whose parameters are now in the arena, or null when the loss diverged.</summary>
    private int? Train(double rate)
    {
        var steps = new CosineSchedule(options.StepRate, options.Iterations);
        var hardening = new HardeningSchedule(options.Iterations);
        Func<int, double> schedule = options.SignDescent ? i => rate * (1 - ((double)i / options.Iterations)) : new CosineSchedule(rate, options.Iterations).At;
        var order = new WindowOrder(streams.TrainingWindows, options.Batch, Seeds.Order(context.Seed, context.Block.Index));
        bool keepBest = options.KeepBest && streams.HeldOutWindows > 0, keepBestStep = !keepBest && options.KeepBestStep;
        double atStart = MeasuredLoss(), best = atStart;
        if (keepBest) arena.Keep();
        int bestIteration = 0;
        double bestStep = double.PositiveInfinity;
        for (int i = 0; i < options.Iterations; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            int step = i;
            if (options.Harden) soften(hardening.SoftnessAt(i));
            double loss = trainer.Step(order.Next(), schedule(i), i + 1, steps.At(i), keepBestStep ? found => KeepStep(step, found) : null);
            if (!double.IsFinite(loss)) return null;
            context.Progress?.Report(new BlockProgress(context.Block.Index, i + 1, options.Iterations, loss));
            if (!keepBest || !IsCheck(i + 1)) continue;
            double heldOut = MeasuredLoss();
            if (!(heldOut < best)) continue;
            best = heldOut;
            bestIteration = i + 1;
            arena.Keep();
        }
        if (keepBestStep && options.Iterations > 0)
        {
            arena.Restore();
            return AcceptsEnd(atStart, MeasuredLoss(), rate) ? bestIteration : null;
        }
        // The last check of the best iterate was at the end; without one the end is measured here. Worse than the start is a divergence.
        if (!keepBest) return options.Iterations == 0 || AcceptsEnd(atStart, MeasuredLoss(), rate) ? options.Iterations : null;
        if (bestIteration == 0 && options.Iterations > 0) return null;
        arena.Restore();
        return bestIteration;

        void KeepStep(int step, double loss)
        {
            if (!(loss < bestStep)) return;
            (bestStep, bestIteration) = (loss, step);
            arena.Keep();
        }
    }

    // Without restarts the end is taken as it is, and only said to be worse.
    private bool AcceptsEnd(double atStart, double atEnd, double rate)
    {
        if (atEnd <= atStart) return true;
        if (options.Restarts > 0 || !double.IsFinite(atEnd)) return false;
        _warnings.Add(string.Create(CultureInfo.InvariantCulture,
            $"block {context.Block.Index}: the loss rose from {atStart:G4} to {atEnd:G4} at learning rate {rate:G3}, and the last step is kept, as the paper does; a smaller `learning_rate` or `keep_best` true may help"));
        return true;
    }

    // Held-out windows when there are any, else some of the training windows.
    private double MeasuredLoss() => streams.HeldOutWindows > 0
        ? trainer.MeanLoss(streams.TrainingWindows, streams.HeldOutWindows, context.Cancellation)
        : trainer.MeanLoss(0, Math.Min(streams.TrainingWindows, MeasuredWindows), context.Cancellation);

    // Checks lie in the second half, where the rate is small enough for an iterate to be worth keeping, and end with the last iteration.
    private bool IsCheck(int done)
    {
        for (int check = 1; check <= options.KeepBestChecks; check++)
        {
            double share = options.KeepBestChecks == 1 ? 1 : 0.5 + (0.5 * (check - 1) / (options.KeepBestChecks - 1));
            if (done == (int)Math.Round(options.Iterations * share)) return true;
        }
        return false;
    }
}

/// <summary>The windows of each step: every epoch is one shuffle cut into consecutive batches; a last short batch is dropped.</summary>
internal sealed class WindowOrder(int windows, int batch, ulong seed)
{
    private readonly SeededRandom _random = new(seed);
    private readonly int _batch = Math.Min(batch, windows);
    private int[] _order = [];
    private int _next;

    public ReadOnlySpan<int> Next()
    {
        if (_next + _batch > _order.Length)
        {
            _order = _random.Permutation(windows);
            _next = 0;
        }
        _next += _batch;
        return _order.AsSpan(_next - _batch, _batch);
    }
}
