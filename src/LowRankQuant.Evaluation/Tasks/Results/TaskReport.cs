using System.Text.Json.Serialization;

namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>The figures of all tasks of an evaluation.</summary>
public sealed record TaskReport
{
    /// <summary>Whose conventions: v0.4, v0.3 or hendrycks.</summary>
    public required string Harness { get; init; }

    /// <summary>The tasks, in the order asked for.</summary>
    public required IReadOnlyDictionary<string, TaskResult> Tasks { get; init; }

    /// <summary>
    /// Plain means over the tasks, when there are several: acc, and what published tables print, acc_norm where a task reports it and acc elsewhere.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, Metric>? Average { get; init; }

    /// <summary>Differences of these means from the reference's.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, Metric>? AverageAgainst { get; init; }

    /// <summary>What the user should know: items left out, texts cut, subjects missing.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>The files of items that the figures were made of; null where models were asked.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TaskSource? Source { get; init; }

    /// <summary>The figures of a file that <c>items</c> wrote, compared item by item with those of another.</summary>
    /// <param name="items">The file.</param>
    /// <param name="against">The other; null for none.</param>
    /// <param name="asked">Whose conventions the items were scored by, where a file does not say so itself; null when nobody said.</param>
    /// <exception cref="EvaluationException">
    /// A file is absent or unsound, its conventions are not known, or the two differ in conventions or data, or the other lacks an item.
    /// </exception>
    public static TaskReport OfItems(string items, string? against, Harness? asked)
    {
        var notes = new List<string>();
        (IReadOnlyList<ItemRecord> records, Harness harness) = ItemFile.ReadKnown(items, asked, notes);
        Comparison? comparison = against is null ? null : new Comparison(ItemFile.ReadKnown(against, asked, notes).Records, $"'{against}'");
        foreach (ItemRecord record in records) comparison?.Check(record);
        return Of(harness, records.GroupBy(record => record.Task).ToDictionary(task => task.Key, task => TaskResult.Of([.. task], harness, comparison)), notes);
    }

    /// <summary>Sums up tasks.</summary>
    internal static TaskReport Of(Harness harness, IReadOnlyDictionary<string, TaskResult> tasks, IReadOnlyList<string> notes)
    {
        TaskResult[] results = [.. tasks.Values.Where(task => task.Items > 0)];
        var report = new TaskReport { Harness = HarnessNames.Of(harness), Tasks = tasks, Notes = notes };
        if (results.Length < 2) return report;
        report = report with
        {
            Average = new Dictionary<string, Metric>
            {
                [ItemMetric.Accuracy] = Metric.Average([.. results.Select(task => task.Metrics[ItemMetric.Accuracy])]),
                [Published] = Metric.Average([.. results.Select(task => task.Metrics[task.MainMetric])]),
            },
        };
        if (results.Any(task => task.Against is null || !task.Against.ContainsKey(task.MainMetric))) return report;
        return report with
        {
            AverageAgainst = new Dictionary<string, Metric>
            {
                [ItemMetric.Accuracy] = Metric.Average([.. results.Select(task => Plain(task.Against![ItemMetric.Accuracy]))]),
                [Published] = Metric.Average([.. results.Select(task => Plain(task.Against![task.MainMetric]))]),
            },
        };
    }

    private const string Published = "acc_norm_or_acc";

    private static Metric Plain(PairedMetric metric) => new(metric.Difference, metric.StandardError);
}
