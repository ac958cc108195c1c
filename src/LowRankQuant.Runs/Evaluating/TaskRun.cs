using System.Security.Cryptography;
using System.Text;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Data;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Evaluation.Tasks.Scoring;
using LowRankQuant.Models;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Runs.Evaluating;

/// <summary>Asks models the items of tasks. All files are read and checked before the first is asked.</summary>
/// <param name="job">What is asked.</param>
/// <param name="memory">Memory and batches of each model.</param>
/// <param name="observer">Is told how far it is.</param>
internal sealed class TaskRun(TaskJob job, ModelRunnerOptions memory, IRunObserver observer)
{
    private const int HendrycksPositions = 2048;

    private readonly DataFolder _data = new(job.Data ?? ".", job.Fetched);
    private readonly List<string> _notes = [];

    /// <summary>Asks the model, and the reference where there is one.</summary>
    /// <exception cref="EvaluationException">Data is absent or unsound, or cannot be compared.</exception>
    public TaskReport Run(CausalModel model, CausalModel? reference, CancellationToken cancellation)
    {
        IReadOnlyList<TaskItem>[] items = [.. job.Tasks.Select(task => task.Load(_data, job.Selection))];
        foreach (IReadOnlyList<TaskItem> task in items) WarnOfSurrogates(task);
        Comparison? against = job.Against is null ? null : new Comparison(ItemFile.ReadKnown(job.Against, null, _notes).Records, $"'{job.Against}'");
        foreach (TaskItem item in items.SelectMany(all => all)) against?.Check(item, HarnessNames.Of(job.Selection.Harness), OptionsOf(item.Task));
        var seconds = new Dictionary<string, double>();
        List<ItemRecord> records = Ask(model, items, "", job.ItemsFile, seconds, cancellation);
        if (reference is not null)
        {
            string? file = job.ItemsFile is null ? null : Path.ChangeExtension(job.ItemsFile, ".reference" + Path.GetExtension(job.ItemsFile));
            against = new Comparison(Ask(reference, items, "reference: ", file, null, cancellation), "the reference");
        }
        var results = new Dictionary<string, TaskResult>();
        foreach (EvaluationTask task in job.Tasks)
        {
            TaskResult result = TaskResult.Of([.. records.Where(record => record.Task == task.Name)], job.Selection.Harness, against) with { Seconds = seconds[task.Name] };
            results.Add(task.Name, result);
            Note(task.Name, result);
        }
        return TaskReport.Of(job.Selection.Harness, results, _notes);
    }

    private List<ItemRecord> Ask(
        CausalModel model, IReadOnlyList<TaskItem>[] items, string who, string? file, Dictionary<string, double>? seconds, CancellationToken cancellation)
    {
        using ItemJournal? journal = file is null ? null : ItemJournal.Open(file, Fingerprint(model, items));
        var records = new List<ItemRecord>(journal?.Records ?? []);
        if (records.Count > 0) observer.Note($"{who}{records.Count} items are known already; going on from there.");
        ITokenizer tokenizer = model.Checkpoint.LoadTokenizer();
        foreach (string warning in tokenizer.Warnings) observer.Warn(warning);
        var encoder = new ItemEncoder(
            tokenizer, new PairEncoder(tokenizer, model.Config, job.Selection.Harness, job.AddBos), job.Selection.Harness, Positions(model),
            job.ApplyChatTemplate ? new ChatFormat(model, tokenizer, job.ChatArguments) : null);
        using var runner = new ModelRunner(model, memory);
        var scorer = new LikelihoodScorer(runner);
        int earlier = 0;
        for (int t = 0; t < items.Length; t++)
        {
            string name = job.Tasks[t].Name;
            int done = Math.Clamp(records.Count - earlier, 0, items[t].Count);
            earlier += items[t].Count;
            observer.Stage($"{who}{name}, {items[t].Count} items");
            long start = TimeProvider.System.GetTimestamp();
            EncodedItem[] encoded = [.. items[t].Select(encoder.Encode)];
            scorer.Score(
                [.. encoded.Select(item => new ScoringUnit(item.Requests, item.PrefixKey))],
                done,
                (number, scores) =>
                {
                    ItemRecord record = ItemRecord.Of(encoded[number], scores) with { Harness = HarnessNames.Of(job.Selection.Harness), Options = OptionsOf(name) };
                    records.Add(record);
                    journal?.Add(record);
                },
                new ObserverProgress(observer),
                cancellation);
            seconds?.Add(name, TimeProvider.System.GetElapsedTime(start).TotalSeconds);
        }
        journal?.Finish();
        return records;
    }

    /// <summary>What was asked for that changes figures, beside the conventions.</summary>
    private string? OptionsOf(string task)
    {
        List<string> options = [];
        if (job.ApplyChatTemplate) options.Add(job.ChatArguments is { } variables ? $"chat template with {variables.Text}" : "chat template");
        if (task == Mmlu.TaskName && job.Selection.Shots is { } shots && shots != Mmlu.UsualShots) options.Add($"shots {shots}");
        if (job.AddBos != AddBos.Auto) options.Add($"begin-of-text token {(job.AddBos == AddBos.Yes ? "always" : "never")}");
        return options.Count == 0 ? null : string.Join(", ", options);
    }

    private void WarnOfSurrogates(IReadOnlyList<TaskItem> task)
    {
        int items = task.Count(item => item.LoneSurrogates > 0);
        if (items == 0) return;
        string warning = $"{task[0].Task}: {task.Sum(item => item.LoneSurrogates)} halves of surrogate pairs (\\ud800 to \\udfff alone) in {items} items were read as U+FFFD.";
        _notes.Add(warning);
        observer.Warn(warning);
    }

    private int Positions(CausalModel model)
    {
        int most = model.Config.MaxPositions;
        return job.Context ?? (job.Selection.Harness == Harness.Hendrycks ? Math.Min(most, HendrycksPositions) : most);
    }

    /// <summary>A hash of all that the records depend on.</summary>
    private string Fingerprint(CausalModel model, IReadOnlyList<TaskItem>[] items)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        model.Checkpoint.AppendContentHash(hash);
        TaskSelection selection = job.Selection;
        hash.AppendData(Encoding.UTF8.GetBytes(
            $"records 2 {selection.Harness} {selection.Offset} {selection.Limit} {selection.Shots} {job.AddBos} {job.ApplyChatTemplate} {Positions(model)} {string.Join(',', job.Tasks.Select(task => task.Name))}{job.ChatArguments?.Text}"));
        foreach (TaskItem item in items.SelectMany(all => all)) hash.AppendData(Encoding.UTF8.GetBytes(item.Hash()));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private void Note(string name, TaskResult result)
    {
        if (result.Errors > 0)
        {
            Add($"{name}: {result.Errors} items are left out: the tokenizer joins the choice to the context's last token, so nothing is left to score " +
                "(lm-eval 0.4 stops at them).");
        }
        if (result.Cut > 0) Add($"{name}: the text of {result.Cut} items is longer than the model's positions; {result.CutTokens} tokens were cut on the left.");
        if (result.WithDroppedShots > 0) Add($"{name}: {result.WithDroppedShots} items lost solved questions because their prompt is too long.");
        if (result.Subjects is { } subjects && subjects.Count < MmluSubjects.Count) Add($"{name}: {subjects.Count} of {MmluSubjects.Count} subjects were found.");

        void Add(string note)
        {
            _notes.Add(note);
            observer.Note(note);
        }
    }
}
