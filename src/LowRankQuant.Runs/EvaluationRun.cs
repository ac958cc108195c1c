using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs;

/// <summary>Measures a model as <c>lrq eval</c> does: text to windows, windows to figures, and the size of what is stored.</summary>
public sealed class EvaluationRun : IEvaluationRun
{
    // Of a text that can be cut usually, even a long stretch that cannot is shorter.
    private const int LongestUnremarked = 1 << 24;

    /// <inheritdoc/>
    public EvaluationResult Run(EvaluationJob job, IRunObserver observer, CancellationToken cancellation)
    {
        foreach (string warning in job.Model.Checkpoint.Warnings.Concat(job.Reference?.Checkpoint.Warnings ?? [])) observer.Warn(warning);
        // Both models share the memory.
        var memory = new ModelRunnerOptions { MemoryBytes = job.Reference is null ? job.MemoryBytes : job.MemoryBytes / 2 };
        EvaluationResult result = job.Text is null && job.Ids is null
            ? new EvaluationResult()
            : job.Perplexity == PerplexityKind.Rolling ? Rolling(job, memory, observer, cancellation) : Windows(job, memory, observer, cancellation);
        TaskReport? tasks = job.Tasks is null ? null : new TaskRun(job.Tasks, memory, observer).Run(job.Model, job.Reference, cancellation);
        return result with { Tasks = tasks, BitsPerWeight = StoredSize.LinearBits(job.Model), ModelBitsPerWeight = StoredSize.ModelBits(job.Model) };
    }

    private static EvaluationResult Windows(EvaluationJob job, ModelRunnerOptions memory, IRunObserver observer, CancellationToken cancellation)
    {
        using var runner = new ModelRunner(job.Model, memory);
        using ModelRunner? reference = job.Reference is null ? null : new ModelRunner(job.Reference, memory);
        var evaluator = new Evaluator(runner, reference);
        bool llamaCpp = job.Perplexity == PerplexityKind.LlamaCpp;
        var options = new EvaluationOptions
        {
            Average = llamaCpp ? PerplexityAverage.Tokens : job.Average,
            // llama.cpp compares where it scores.
            Positions = llamaCpp ? ComparedPositions.Predicting : ComparedPositions.All,
            Memory = memory,
        };
        observer.Stage($"measuring {job.Text ?? job.Ids}{(job.JoinRows ? ", rows joined by blank lines" : "")}");
        if (job.Ids is not null)
        {
            IEnumerable<TextWindow> lines = TextWindows.ReadIds(job.Ids, job.Model.Config, job.Windows.Windows);
            return evaluator.Evaluate(lines, options, new ObserverProgress(observer), cancellation);
        }
        ITokenizer tokenizer = job.Model.Checkpoint.LoadTokenizer();
        TextSource source = Source(job, tokenizer);
        var windows = new TextFileWindows(source, tokenizer, job.Model.Config, job.AddBos, job.Windows, job.Perplexity, job.JoinRows);
        EvaluationResult result = evaluator.Evaluate(windows, options, new ObserverProgress(observer, () => windows.Expected), cancellation);
        if (windows.LongestPart > LongestUnremarked)
            observer.Note($"{windows.LongestPart} characters were in memory at once: the tokenizer's rules name no place between them where the text may be cut.");
        if (windows.Shortage(result.Windows ?? 0, "`windows`") is { } shortage) observer.Note(shortage);
        return WithWarnings(result, tokenizer, source, observer);
    }

    private static TextSource Source(EvaluationJob job, ITokenizer tokenizer) =>
        new(job.Text!, job.TextOptions with { KeepEmptyRows = job.JoinRows }, () => ChatText.Of(job.Model.Checkpoint, tokenizer, job.Model.Config));

    private static EvaluationResult WithWarnings(EvaluationResult result, ITokenizer tokenizer, TextSource source, IRunObserver observer)
    {
        IReadOnlyList<string> warnings = [.. tokenizer.Warnings, .. source.Warnings];
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
        SourceReader? reader = null;
        using SourceReader? plain = source.Format == TextFormat.Text ? reader = source.Open() : null;
        // Documents of JSON are the pages; plain text has headings.
        IEnumerable<string> all = plain is null ? source.Documents([], opened => reader = opened).Select(document => ((StringDocument)document).Text) : WikiText.Pages(plain);
        // Of some pages only, nothing says how many tokens they have.
        Func<int>? expected = job.Windows.Windows is null ? () => (int)(perplexity.TokensRead / 1000 / (reader?.Share ?? 1)) : null;
        EvaluationResult result = perplexity.Measure(all.Take(job.Windows.Windows ?? int.MaxValue), new ObserverProgress(observer, expected), cancellation);
        return WithWarnings(result, tokenizer, source, observer);
    }
}
