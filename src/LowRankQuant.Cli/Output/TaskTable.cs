using LowRankQuant.Evaluation.Tasks.Results;

namespace LowRankQuant.Cli.Output;

/// <summary>The figures of tasks, a line each; of MMLU also its groups and subjects.</summary>
internal static class TaskTable
{
    private static readonly string[] Accuracies = ["acc", "acc_norm", "acc_spaced"];

    // Of the distributions over the choices, in nats.
    private static readonly ChoiceColumn[] ChoiceColumns = [new("choice_kl", "choice KL", false), new("right_choice_log_prob", "right choice log p", true)];

    public static string Of(TaskReport report)
    {
        bool compared = report.Tasks.Values.Any(task => task.Against is not null);
        string[] columns = [.. Accuracies.Where(name => Has(report, name)), .. Has(report, "perplexity") ? ["perplexity"] : Array.Empty<string>()];
        ChoiceColumn[] distributions = [.. ChoiceColumns.Where(column => report.Tasks.Values.Any(task => task.Against?.ContainsKey(column.Figure) == true))];
        string[] more = compared ? ["difference", "p", "recovery", .. distributions.Select(column => column.Title)] : [];
        var table = new TextTable([$"task ({report.Harness})", "items", .. columns, .. more]);
        foreach ((string name, TaskResult task) in report.Tasks)
        {
            Add(name, task);
            foreach ((string group, TaskResult part) in task.Groups ?? new Dictionary<string, TaskResult>()) Add($"  {group}", part);
            foreach ((string subject, TaskResult part) in task.Subjects ?? new Dictionary<string, TaskResult>()) Add($"    {subject}", part);
        }
        if (report.Average is { } average)
        {
            AddAverage("average, acc", average["acc"], report.AverageAgainst?["acc"]);
            AddAverage("average, acc_norm where reported", average["acc_norm_or_acc"], report.AverageAgainst?["acc_norm_or_acc"]);
        }
        return table.ToString();

        void Add(string name, TaskResult task) =>
            table.Add([name, Format.Count(task.Items), .. columns.Select(column => Cell(task, column)), .. compared ? Compare(task) : [], .. distributions.Select(column => Cell(task, column))]);

        void AddAverage(string name, Metric value, Metric? difference)
        {
            string[] cells = [.. Enumerable.Repeat("", columns.Length)];
            cells[0] = Format.Percent(value.Value, value.StandardError);
            table.Add([name, "", .. cells, .. compared ? new[] { difference is null ? "" : Signed(difference.Value, difference.StandardError), "", "" } : [], .. distributions.Select(_ => "")]);
        }
    }

    private static bool Has(TaskReport report, string metric) => report.Tasks.Values.Any(task => task.Metrics.ContainsKey(metric));

    private static string Cell(TaskResult task, string column)
    {
        if (!task.Metrics.TryGetValue(column, out Metric? metric)) return "";
        return column == "perplexity" ? Format.WithError(metric.Value, metric.StandardError) : Format.Percent(metric.Value, metric.StandardError);
    }

    /// <summary>Of the figure that published tables print.</summary>
    private static string[] Compare(TaskResult task)
    {
        string metric = task.Metrics.ContainsKey("acc_norm") ? "acc_norm" : "acc";
        if (task.Against is null || !task.Against.TryGetValue(metric, out PairedMetric? against)) return ["", "", ""];
        return [Signed(against.Difference, against.StandardError), Format.Number(against.PValue), against.RecoveryPercent is { } recovery ? $"{Format.Number(recovery)} %" : Format.Absent];
    }

    private static string Cell(TaskResult task, ChoiceColumn column)
    {
        if (task.Against is null || !task.Against.TryGetValue(column.Figure, out PairedMetric? figure)) return "";
        string value = Format.WithError(figure.Difference, figure.StandardError);
        return (column.IsSigned && figure.Difference >= 0 ? "+" : "") + value + (figure.LeftOut is { } left ? $" ({left} left out)" : "");
    }

    private static string Signed(double difference, double? error) => (difference >= 0 ? "+" : "") + Format.Percent(difference, error);

    private sealed record ChoiceColumn(string Figure, string Title, bool IsSigned);
}
