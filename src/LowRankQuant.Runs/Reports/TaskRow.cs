using System.Globalization;
using LowRankQuant.Evaluation.Tasks.Results;

namespace LowRankQuant.Runs.Reports;

/// <summary>A figure of a task as reports show it.</summary>
/// <param name="Task">The task, or a group of its subjects.</param>
/// <param name="Figure">The figure in words.</param>
/// <param name="Value">The result's figure; null for one that is a difference by nature.</param>
/// <param name="Paired">How it differs from the original's on the same items; null where nothing was compared.</param>
/// <param name="Items">Items that count.</param>
internal sealed record TaskRow(string Task, string Figure, Metric? Value, PairedMetric? Paired, int Items)
{
    private const int MostTasks = 64, MostFigures = 8;

    // Of a normal distribution, 95 % lie within so many deviations.
    private const double Deviations = 1.96;

    private static readonly string[] Accuracies = ["acc", "acc_norm", "acc_spaced"];

    // Figures that are differences by nature, or have another name as one.
    private static readonly (string Name, string Words)[] Differences = [("log_perplexity", "log perplexity, nats"), ("choice_kl", "choice KL, nats"), ("right_choice_log_prob", "log p of the right choice, nats")];

    /// <summary>Name of the mean KL divergence between the distributions over the choices.</summary>
    public static string ChoiceDivergence => Differences[1].Words;

    /// <summary>Whether it is a share of items, so that differences are in points of 100.</summary>
    public bool IsShare { get; private init; }

    /// <summary>Whether it is the figure that published tables print of its task.</summary>
    public bool IsMain { get; private init; }

    /// <summary>Half of the interval of 95 % about the difference; null where there is none.</summary>
    public double? Half => Paired?.StandardError is { } error && double.IsFinite(error) && error >= 0 ? Deviations * error : null;

    /// <summary>The figures of a report, task by task, the groups of a task behind it.</summary>
    public static IReadOnlyList<TaskRow> Of(TaskReport report)
    {
        var rows = new List<TaskRow>();
        foreach ((string name, TaskResult task) in report.Tasks.Take(MostTasks))
        {
            rows.AddRange(Of(name, task));
            foreach ((string group, TaskResult part) in (task.Groups ?? new Dictionary<string, TaskResult>()).Take(MostTasks)) rows.AddRange(Of($"{name}, {group}", part).Select(row => row with { IsMain = false }));
        }
        foreach ((string key, string words) in new[] { ("acc", "acc"), ("acc_norm_or_acc", "acc_norm, else acc") })
        {
            if (report.Average?.GetValueOrDefault(key) is not { } mean) continue;
            PairedMetric? difference = report.AverageAgainst?.GetValueOrDefault(key) is { } off ? new PairedMetric(off.Value, off.StandardError, mean.Value - off.Value, 0) : null;
            rows.Add(new TaskRow("mean of the tasks", words, mean, difference, 0) { IsShare = true });
        }
        return rows;
    }

    /// <summary>The result's figure with its standard error.</summary>
    public string ValueText() => Value is null ? Charts.Figure.Absent : IsShare ? Charts.Figure.Percent(Value.Value, Value.StandardError) : Charts.Figure.WithError(Value.Value, Value.StandardError);

    /// <summary>The original's figure on the same items.</summary>
    public string ReferenceText() => Paired is null || Value is null ? Charts.Figure.Absent : IsShare ? Charts.Figure.Percent(Paired.Reference) : Charts.Figure.Number(Paired.Reference);

    /// <summary>The difference with its interval of 95 %: in points of 100 for shares, else in the figure's unit.</summary>
    public string DifferenceText() => Paired is null ? Charts.Figure.Absent : (Figure == ChoiceDivergence ? Plain(Paired.Difference) : Signed(Paired.Difference)) + (Half is { } half ? $" ± {Plain(half)}" : "");

    /// <summary>Items that became right and items that became wrong.</summary>
    public string FlipText() => Paired is { Better: { } better, Worse: { } worse } ? $"+{better.ToString(CultureInfo.InvariantCulture)} −{worse.ToString(CultureInfo.InvariantCulture)}" : Charts.Figure.Absent;

    private static List<TaskRow> Of(string name, TaskResult task)
    {
        string main = task.Metrics.ContainsKey("acc_norm") ? "acc_norm" : "acc";
        List<TaskRow> rows =
        [
            .. task.Metrics.Take(MostFigures).Select(metric => new TaskRow(name, metric.Key, metric.Value, task.Against?.GetValueOrDefault(metric.Key), task.Items)
            {
                IsShare = Accuracies.Contains(metric.Key),
                IsMain = metric.Key == main,
            }),
        ];
        foreach ((string key, string words) in Differences)
        {
            if (task.Against?.GetValueOrDefault(key) is { } paired) rows.Add(new TaskRow(name, words, null, paired, paired.Items));
        }
        return rows;
    }

    private string Signed(double difference) => double.IsFinite(difference) ? $"{(difference >= 0 ? "+" : "−")}{Plain(Math.Abs(difference))}" : Charts.Figure.Number(difference);

    private string Plain(double size) => IsShare ? (100 * size).ToString("0.00", CultureInfo.InvariantCulture) : Charts.Figure.Number(size, 3);
}
