using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Tasks: figures, and paired differences from the original with intervals.</summary>
internal static class TaskPart
{
    private const int MostTasks = 64;

    // Of a normal distribution, 95 % lie within so many deviations.
    private const double Deviations = 1.96;

    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, TaskReport tasks)
    {
        var figures = tasks.Tasks.Take(MostTasks).SelectMany(task => task.Value.Metrics.Take(8).Select(metric => (Task: task.Key, Name: metric.Key, Metric: metric.Value, task.Value.Items, Paired: task.Value.Against?.GetValueOrDefault(metric.Key)))).ToArray();
        if (figures.Length == 0) return;
        sheet.Part("tasks", "Tasks", () =>
        {
            sheet.Say($"By the conventions of {tasks.Harness}.", "soft");
            Interval[] differences =
            [
                .. figures.Where(figure => figure.Paired is not null && figure.Name != "perplexity").Select(figure => new Interval(
                    $"{figure.Task} {figure.Name}", 100 * figure.Paired!.Difference, 100 * Deviations * figure.Paired.StandardError, Points(figure.Paired.Difference, figure.Paired.StandardError))),
            ];
            if (differences.Length > 0)
            {
                sheet.Figures(() => sheet.Figure(id => IntervalChart.Draw(new ChartFrame("Difference from the original", "points of 100", "difference with its interval of 95 %") { Id = id }, differences),
                    "Difference from the original", "Item by item on the same questions. An interval that crosses 0 shows no difference.", null));
            }
            sheet.Add(new Table("Figures of tasks; ± is one standard error.", [new("task"), new("figure", IsWord: true), new("value"), new("difference"), new("p (McNemar)"), new("items")],
                [.. figures.Select(figure => new Cell[]
                {
                    Figure.Short(figure.Task, 60), Figure.Short(figure.Name, 40), Figure.WithError(figure.Metric.Value, figure.Metric.StandardError),
                    figure.Paired is null ? Figure.Absent : Figure.WithError(figure.Paired.Difference, figure.Paired.StandardError), Figure.Number(figure.Paired?.PValue, 2), Figure.Count(figure.Items),
                })])
            { Sorts = true });
            foreach (string note in tasks.Notes.Take(20)) sheet.Say(note, "soft");
        });
    }

    private static string Points(double difference, double? error) => double.IsFinite(difference) ? $"{(difference >= 0 ? "+" : "−")}{Figure.Number(100 * Math.Abs(difference), 3)}{(error is { } off ? $" ± {Figure.Number(100 * Deviations * off, 2)}" : "")}" : Figure.Absent;
}
