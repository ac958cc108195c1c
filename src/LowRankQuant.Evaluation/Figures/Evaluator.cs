using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Formats;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>
/// Perplexity of a model, and how far it is from a reference: KL divergence and agreement of the most probable token. Logits are computed for some
/// rows at a time, and windows are taken some at a time, so memory grows neither with the length of a window times the vocabulary nor with the text.
/// </summary>
/// <param name="model">The model to judge; not owned.</param>
/// <param name="reference">The model it should equal, or null; not owned.</param>
public sealed class Evaluator(ModelRunner model, ModelRunner? reference = null)
{
    // Logits of so many floats at a time; more saves nothing, as each matrix product is large already.
    private const int LogitBudget = 1 << 23;

    private const int BatchesTogether = 8;

    /// <summary>Gets the model's own hidden states of every window, for measurements of others beside it; null for nobody.</summary>
    internal KeptStates? KeepsIn { get; init; }

    /// <summary>The reference's hidden states of the same windows, which a measurement of its own kept; null where they are computed.</summary>
    internal KeptStates? Kept { get; init; }

    /// <summary>Told about every window, in order, for reports in depth; null for nobody.</summary>
    public Action<WindowScore>? WindowScored { get; init; }

    /// <summary>Sees the logits of both models at every compared position, for a report in depth, which becomes part of the result; of one evaluation. Null for nobody.</summary>
    public DepthCollector? Depth { get; init; }

    /// <summary>Tokens of a turn where weights are read for every turn: so much work between that their reading does not count, and so few states that a disk holds them.</summary>
    internal int TokensTogether { get; init; } = 1 << 18;

    /// <summary>Clock for durations.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Measures the windows.</summary>
    /// <param name="windows">At least one, each with a scored token; enumerated once, as far as the work has come.</param>
    /// <param name="options">What is averaged; null for the usual.</param>
    /// <param name="progress">Told about every batch.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="EvaluationException">There is nothing to score, or the models have different vocabularies or devices.</exception>
    /// <exception cref="CheckpointException">An id is beyond the vocabulary, or a checkpoint is unsound.</exception>
    public EvaluationResult Evaluate(
        IEnumerable<TextWindow> windows,
        EvaluationOptions? options = null,
        IProgress<EvaluationProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        options ??= new EvaluationOptions();
        long start = Time.GetTimestamp();
        CheckReference();
        var statistics = new EvaluationStatistics(options.Average, reference is not null);
        IReferenceStates? states = reference is null ? null : Kept ?? States(reference, options);
        int done = 0, total = windows.TryGetNonEnumeratedCount(out int count) ? count : 0;
        foreach (IReadOnlyList<TextWindow> turn in Turns(windows, options))
        {
            Evaluate(turn, done, total, statistics, states, options, progress, cancellation);
            done += turn.Count;
        }
        if (done == 0) throw new EvaluationException("There are no windows to evaluate.");
        return statistics.Result() with { Depth = Depth?.Result(), Seconds = Time.GetElapsedTime(start).TotalSeconds, PeakMemoryBytes = ProcessMemory.Peak };
    }

    /// <summary>
    /// Windows that pass through the reference before they pass through the model. When both stay in memory, some batches: a long text then keeps few
    /// hidden states. Otherwise many, as every turn reads the weights again, and where the two take turns in memory as many as it holds states of; states that do not fit go to disk.
    /// What is kept on disk is cut into parts of windows, and a turn is some whole parts.
    /// </summary>
    private IEnumerable<IReadOnlyList<TextWindow>> Turns(IEnumerable<TextWindow> windows, EvaluationOptions options)
    {
        bool inTurn = options.Sharing == MemorySharing.InTurn && reference is not null && Kept is null;
        bool resident = model.Resident && !inTurn && (reference is null or { Resident: true } || Kept is not null);
        long tokens = inTurn ? Math.Max(TokensTogether, options.Memory.Budget / sizeof(float) / model.Model.Config.HiddenSize) : TokensTogether;
        CachePart? part = options.ReferenceCache is null ? null : new CachePart();
        var turn = new List<TextWindow>();
        int number = 0;
        long most = 1;
        foreach (TextWindow window in windows)
        {
            Check(window, number++);
            int length = window.Ids.Length;
            if (turn.Count == 0) most = resident ? BatchesTogether * Math.Max(1, model.Options.BatchTokens / length) : Math.Max(1, tokens / length);
            turn.Add(window);
            bool whole = part is null || part.EndsWith(length);
            if (turn.Count < most || !whole) continue;
            yield return turn;
            turn = [];
        }
        if (turn.Count > 0) yield return turn;
    }

    private void Evaluate(
        IReadOnlyList<TextWindow> windows, int first, int total, EvaluationStatistics statistics, IReferenceStates? source, EvaluationOptions options,
        IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        int[][] ids = [.. windows.Select(window => window.Ids)];
        IProgress<EvaluationProgress>? partial = progress is null ? null : new PartialProgress(progress, first, total);
        using ITurnStates? states = source?.Of(first, ids, partial, cancellation);
        using Tensor? padded = states is null ? null : model.Model.Device.Empty(ids.Max(window => window.Length), reference!.Model.Config.HiddenSize);
        model.Run(
            ids,
            (number, hidden) =>
            {
                KeepsIn?.Write(first + number, hidden);
                Tensor? expected = padded?.RowRange(0, ids[number].Length);
                states?.Read(number, expected!);
                WindowScore score = Score(first + number, windows[number], hidden, expected, options.Positions, cancellation);
                statistics.Add(score);
                WindowScored?.Invoke(score);
            },
            partial,
            cancellation);
    }

    private static void Check(TextWindow window, int number)
    {
        if (window.FirstNew < 0 || window.ScoredTokens < 1)
            throw new EvaluationException($"Window {number}: {window.Ids.Length} tokens, {window.FirstNew} of context: nothing to score.");
    }

    private void CheckReference()
    {
        if (reference is null)
        {
            if (Depth is not null) throw new EvaluationException("A report in depth needs a reference.");
            return;
        }
        if (reference.Precision != Precision.Single) throw new EvaluationException("A reference is what a model is measured against, and runs in 32-bit floats.");
        int own = model.Model.Config.VocabularySize, other = reference.Model.Config.VocabularySize;
        if (own != other)
            throw new EvaluationException($"The model has a vocabulary of {own} and the reference one of {other}; they cannot be compared.");
        if (!ReferenceEquals(model.Model.Device, reference.Model.Device))
            throw new EvaluationException("The model and the reference must be opened on one device.");
    }

    private IReferenceStates States(ModelRunner reference, EvaluationOptions options)
    {
        var computed = new ComputedStates(model, reference, options);
        return options.ReferenceCache is null ? computed : new CachedStates(options.ReferenceCache, reference, computed);
    }

    private WindowScore Score(
        int number, TextWindow window, Tensor hidden, Tensor? referenceHidden, ComparedPositions positions, CancellationToken cancellation)
    {
        // Row r predicts token r + 1.
        int length = window.Ids.Length, firstScored = Math.Max(1, window.FirstNew) - 1;
        int firstCompared = positions == ComparedPositions.All ? window.FirstNew : firstScored;
        int endCompared = positions == ComparedPositions.All ? length : length - 1;
        bool compare = referenceHidden is not null;
        int first = compare ? Math.Min(firstScored, firstCompared) : firstScored, end = compare ? Math.Max(length - 1, endCompared) : length - 1;
        var losses = new float[end - first];
        var divergences = compare ? new double[end - first] : null;
        var agreements = compare ? new bool[end - first] : null;
        int step = Math.Clamp(LogitBudget / model.Head.VocabularySize, 16, 1024);
        for (int row = first; row < end; row += step)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(step, end - row), at = row - first;
            using Tape tape = model.BeginTape();
            Tensor logits = model.Head.Logits(tape, new Variable(hidden.RowRange(row, count))).Value;
            Losses(tape, logits, window.Ids, row, losses.AsSpan(at, count));
            if (!compare) continue;
            using Tape beside = reference!.BeginTape();
            Tensor expected = reference.Head.Logits(beside, new Variable(referenceHidden!.RowRange(row, count))).Value;
            tape.Device.Kernels.KlDivergence(expected, logits, divergences.AsSpan(at, count));
            RowStatistics own = Statistics(tape, logits), other = Statistics(tape, expected);
            for (int i = 0; i < count; i++) agreements![at + i] = own.Largest[i] == other.Largest[i];
            Depth?.Add(
                new ComparedRows
                {
                    Window = number,
                    Ids = window.Ids,
                    First = row,
                    FirstCompared = firstCompared,
                    EndCompared = endCompared,
                    Reference = expected,
                    ReferenceStatistics = other,
                    Model = logits,
                    ModelStatistics = own,
                },
                divergences.AsSpan(at, count));
        }
        return new WindowScore(
            number,
            losses[(firstScored - first)..(length - 1 - first)],
            divergences?[(firstCompared - first)..(endCompared - first)],
            agreements?[(firstCompared - first)..(endCompared - first)]);
    }

    private static void Losses(Tape tape, Tensor logits, int[] ids, int row, Span<float> losses)
    {
        var targets = new int[losses.Length];
        for (int i = 0; i < targets.Length; i++) targets[i] = row + i + 1 < ids.Length ? ids[row + i + 1] : -1;
        Tensor values = tape.Rent(targets.Length), logSumExp = tape.Rent(targets.Length);
        IKernels kernels = tape.Device.Kernels;
        kernels.CrossEntropyForward(logits, targets, values, logSumExp);
        kernels.Download(values, losses);
    }

    private static RowStatistics Statistics(Tape tape, Tensor logits)
    {
        var statistics = new RowStatistics(new float[logits.Rows], new int[logits.Rows]);
        Tensor logSumExp = tape.Rent(logits.Rows);
        tape.Device.Kernels.SoftmaxStatistics(logits, logSumExp, statistics.Largest);
        tape.Device.Kernels.Download(logSumExp, statistics.LogSumExp);
        return statistics;
    }

    /// <summary>Windows of a part counted among all.</summary>
    private sealed class PartialProgress(IProgress<EvaluationProgress> inner, int first, int total) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value) => inner.Report(value with { Done = first + value.Done, Total = total });
    }
}
