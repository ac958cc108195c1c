using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Measuring;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Evaluating;

/// <summary>Measures a model as <c>lrq eval</c> does: text to windows, windows to figures, and the size of what is stored.</summary>
public sealed class EvaluationRun : IEvaluationRun
{
    // Of a text that can be cut usually, even a long stretch that cannot is shorter.
    private const int LongestUnremarked = 1 << 24;

    /// <inheritdoc/>
    public EvaluationResult Run(EvaluationJob job, IRunObserver observer, CancellationToken cancellation)
    {
        foreach (string warning in job.Model.Checkpoint.Warnings.Concat(job.Reference?.Checkpoint.Warnings ?? [])) observer.Warn(warning);
        if (job.ReferenceCache is not null && (job.Reference is null || (job.Text ?? job.Ids) is null || job.Perplexity == PerplexityKind.Rolling))
            throw new EvaluationException("`reference_cache` keeps the states of a `reference` on the windows of a `text` or `ids`; without them, and for `perplexity` rolling, leave it out.");
        if (job.Depth is { } depth)
        {
            if (job.Reference is null || (job.Text ?? job.Ids) is null || job.Perplexity == PerplexityKind.Rolling)
                throw new EvaluationException("`in_depth` says where a model differs from a `reference` on a `text` or `ids`; without them, and for `perplexity` rolling, leave it out.");
            if (DepthMeasurement.Problem(depth, job.Reference, job.Model) is { } problem) throw new EvaluationException(problem);
        }
        var memory = new ModelRunnerOptions { MemoryBytes = job.MemoryBytes };
        EvaluationResult result = job.Text is null && job.Ids is null
            ? new EvaluationResult()
            : job.Perplexity == PerplexityKind.Rolling ? Rolling(job, memory, observer, cancellation) : Windows(job, memory, observer, cancellation);
        // A model is asked after the other, and each has all of the memory while it is.
        TaskReport? tasks = job.Tasks is null ? null : new TaskRun(job.Tasks, memory, observer).Run(job.Model, job.Reference, cancellation);
        return result with { Tasks = tasks, BitsPerWeight = StoredSize.LinearBits(job.Model), ModelBitsPerWeight = StoredSize.ModelBits(job.Model) };
    }

    private static EvaluationResult Windows(EvaluationJob job, ModelRunnerOptions memory, IRunObserver observer, CancellationToken cancellation)
    {
        PairMemory? plan = job.Reference is null ? null : PairMemory.Of(job.Model, job.Reference, memory);
        using var runner = new ModelRunner(job.Model, plan?.Model ?? memory);
        using ModelRunner? reference = job.Reference is null ? null : new ModelRunner(job.Reference, plan!.Reference);
        if (plan?.Sharing == MemorySharing.InTurn) observer.Note("The model and the reference do not fit the memory together: they take turns, the reference first.");
        ReferenceCache? cache = job.ReferenceCache is null ? null : new ReferenceCache(job.ReferenceCache);
        // Ids may be of a model without a tokenizer; then nothing can be spelled out.
        ITokenizer? tokenizer = job.Ids is null ? job.Model.Checkpoint.LoadTokenizer() : job.Depth is null ? null : job.Model.Checkpoint.FindTokenizer();
        DepthMeasurement? depth = job.Depth is null ? null : new DepthMeasurement(job.Depth, job.Model, null, tokenizer, observer, cancellation);
        var evaluator = new Evaluator(runner, reference) { Depth = depth?.Collector };
        bool llamaCpp = job.Perplexity == PerplexityKind.LlamaCpp;
        var options = new EvaluationOptions
        {
            Average = llamaCpp ? PerplexityAverage.Tokens : job.Average,
            // llama.cpp compares where it scores.
            Positions = llamaCpp ? ComparedPositions.Predicting : ComparedPositions.All,
            Memory = plan?.States ?? memory,
            Sharing = plan?.Sharing ?? MemorySharing.Together,
            ReferenceCache = cache,
        };
        observer.Stage($"measuring {job.TextOptions.Name ?? job.Text ?? job.Ids}{(job.JoinRows ? ", rows joined by blank lines" : "")}");
        if (job.Ids is not null)
        {
            IEnumerable<TextWindow> lines = TextWindows.ReadIds(job.Ids, job.Model.Config, job.Windows.Windows);
            EvaluationResult figures = evaluator.Evaluate(lines, options, new ObserverProgress(observer), cancellation);
            NoteCache(cache, observer);
            return Complete(figures, () => lines);
        }
        TextSource source = Source(job, tokenizer!);
        TextFileWindows windows = Cut(source);
        EvaluationResult result = evaluator.Evaluate(windows, options, new ObserverProgress(observer, () => windows.Expected), cancellation);
        NoteCache(cache, observer);
        if (windows.LongestPart > LongestUnremarked)
            observer.Note($"{windows.LongestPart} characters were in memory at once: the tokenizer's rules name no place between them where the text may be cut.");
        if (windows.Shortage(result.Windows ?? 0, "`windows`") is { } shortage) observer.Note(shortage);
        // A source says once what is wrong with its text; another one reads it again.
        return WithWarnings(job, Complete(result, () => Cut(Source(job, tokenizer!))), tokenizer!, source, observer);

        TextFileWindows Cut(TextSource text) => new(text, tokenizer!, job.Model.Config, job.AddBos, job.Windows, job.Perplexity, job.JoinRows);

        EvaluationResult Complete(EvaluationResult figures, Func<IEnumerable<TextWindow>> again)
        {
            if (depth is null) return figures;
            runner.ReleaseBlocks();
            return DepthMeasurement.WithFloor(depth.Complete(figures, reference!, job.MemoryBytes), () =>
            {
                PairMemory own = PairMemory.Of(job.Reference!, job.Reference!, memory);
                using var plain = new ModelRunner(job.Reference!, own.Reference);
                return FloorMeasurement.Measure(plain, again(), options with { Memory = own.States, Sharing = own.Sharing }, own.Model, null, observer, cancellation);
            });
        }
    }

    private static void NoteCache(ReferenceCache? cache, IRunObserver observer)
    {
        if (cache is null) return;
        string left = cache.WindowsLeft == 0 ? "" : $", {cache.WindowsLeft} computed and not kept, as another process is writing them";
        observer.Note($"The reference's hidden states in '{cache.Folder}': {cache.WindowsRead} windows read, {cache.WindowsKept} computed and kept{left}.");
    }

    private static TextSource Source(EvaluationJob job, ITokenizer tokenizer) =>
        new(job.Text!, job.TextOptions with { KeepEmptyRows = job.JoinRows }, () => ChatText.Of(job.Model.Checkpoint, tokenizer, job.Model.Config, job.TextOptions.ChatArguments));

    private static EvaluationResult WithWarnings(EvaluationJob job, EvaluationResult result, ITokenizer tokenizer, TextSource source, IRunObserver observer)
    {
        string[] idle = job.TextOptions.ChatArguments is not null && source.Conversations == 0 ? [$"`chat_template_kwargs` had nothing to do: '{source.Path}' holds no conversation."] : [];
        IReadOnlyList<string> warnings = [.. tokenizer.Warnings, .. source.Warnings, .. idle];
        foreach (string warning in warnings) observer.Warn(warning);
        return warnings.Count == 0 ? result : result with { Warnings = warnings };
    }

    private static EvaluationResult Rolling(EvaluationJob job, ModelRunnerOptions memory, IRunObserver observer, CancellationToken cancellation)
    {
        using var runner = new ModelRunner(job.Model, memory);
        ITokenizer tokenizer = job.Model.Checkpoint.LoadTokenizer();
        var encoder = new PairEncoder(tokenizer, job.Model.Config, job.Harness, job.AddBos);
        int context = job.Windows.Context ?? Math.Min(TextWindowOptions.UsualContext, job.Model.Config.MaxPositions);
        var perplexity = new RollingPerplexity(runner, encoder, context);
        if (job.Reference is not null) observer.Note("Rolling perplexity defines no divergence; the reference is asked the tasks only.");
        observer.Stage($"measuring the documents of {job.Text}");
        TextSource source = Source(job, tokenizer);
        if (source.Format == TextFormat.Ids) throw new EvaluationException($"`perplexity` rolling counts words and bytes, and '{job.Text}' holds token ids; give text.");
        if (source.IsJoined || (source.Format == TextFormat.Text && source.IsSeveral))
            throw new EvaluationException($"`perplexity` rolling measures pages, and '{job.TextOptions.Name ?? job.Text}' is one text of joined rows or files; name one file of text, or of JSON.");
        Func<double>? share = null;
        using SourceReader? plain = source.Format == TextFormat.Text ? source.Open() : null;
        if (plain is not null) share = () => plain.Share;
        // Documents of JSON are the pages; plain text has headings.
        IEnumerable<string> all = plain is null ? source.Documents([], opened => share = opened).Select(document => ((StringDocument)document).Text) : WikiText.Pages(plain);
        // Of some pages only, nothing says how many tokens they have.
        Func<int>? expected = job.Windows.Windows is null ? () => (int)(perplexity.TokensRead / 1000 / (share?.Invoke() ?? 1)) : null;
        EvaluationResult result = perplexity.Measure(all.Take(job.Windows.Windows ?? int.MaxValue), new ObserverProgress(observer, expected), cancellation);
        return WithWarnings(job, result, tokenizer, source, observer);
    }
}
