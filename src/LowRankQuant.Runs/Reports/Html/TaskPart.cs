using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Tasks: figures, and paired differences from the original with intervals.</summary>
internal static class TaskPart
{
    private const int MostDrawn = 64;

    /// <summary>Writes it.</summary>
    /// <param name="sheet">The page.</param>
    /// <param name="tasks">The figures; null where none were recorded.</param>
    public static void Write(Sheet sheet, TaskReport? tasks) => sheet.Part("tasks", "Tasks", () =>
    {
        TaskRow[] rows = tasks is null ? [] : [.. TaskRow.Of(tasks)];
        if (tasks is null || rows.Length == 0)
        {
            sheet.Say("Not measured: no answers to tasks are recorded. 'lrq eval' with `tasks` and `items` asks the original and the result, 'lrq report FOLDER' with `tasks` and `against` records them.");
            return;
        }
        sheet.Say($"By the conventions of {Sheet.Bound(tasks.Harness, 60)}. {(rows.Any(row => row.Paired is not null) ? "Differences are paired: the same items asked of the original and of the result." : "Nothing was compared: these are the result's figures alone.")}", "soft");
        sheet.Figures(() =>
        {
            Draw(sheet, rows.Where(row => row is { IsMain: true, IsShare: true }), 100, "Difference from the original", "points of 100",
                "Right answers of the result less those of the original, with the interval of 95 %. An interval that crosses 0 shows no difference.");
            Draw(sheet, rows.Where(row => row.Figure == TaskRow.ChoiceDivergence), 1, "Divergence over the choices", "KL divergence over the choices, nats",
                "How far the probabilities of the choices have moved, with the interval of 95 %: it grows long before answers change.");
        });
        sheet.Add(new Table("Figures of tasks; ± of a figure is one standard error, that of a difference half of its interval of 95 %. Flips: items that became right, items that became wrong.",
            [new("task"), new("figure", IsWord: true), new("result"), new("original"), new("difference"), new("flips"), new("p (McNemar)"), new("items")],
            [.. rows.Select(row => new Cell[]
            {
                Figure.Short(row.Task, 60), Figure.Short(row.Figure, 40), new(row.ValueText(), row.Value?.Value), new(row.ReferenceText(), row.Paired?.Reference), new(row.DifferenceText(), row.Paired?.Difference),
                row.FlipText(), new(Figure.Number(row.Paired?.PValue, 2), row.Paired?.PValue), new(row.Items > 0 ? Figure.Count(row.Items) : "", row.Items),
            })])
        { Sorts = true });
        if (tasks.Source is { } source) Files(sheet, source);
        foreach (string note in tasks.Notes.Take(20)) sheet.Say(note, "soft");
    });

    private static void Draw(Sheet sheet, IEnumerable<TaskRow> rows, double unit, string title, string along, string caption)
    {
        Interval[] drawn = [.. rows.Where(row => row.Paired is not null).Take(MostDrawn).Select(row => new Interval(Figure.Short(row.Task, 60), unit * row.Paired!.Difference, unit * row.Half, row.DifferenceText()))];
        if (drawn.Length == 0) return;
        sheet.Figure(id => IntervalChart.Draw(new ChartFrame(title, along, "difference with its interval of 95 %") { Id = id }, drawn), title, caption, null);
    }

    private static void Files(Sheet sheet, TaskSource source)
    {
        sheet.Body.Add($"<dl class=\"facts\">");
        File("Answers of the result", source.Items, source.Sha256);
        if (source.Against is { } against) File("Answers of the original", against, source.AgainstSha256);
        sheet.Body.Add($"</dl>");

        void File(string what, string name, string? hash) => sheet.Body.Add($"<dt>{what}</dt><dd>{Sheet.Bound(name, 200)}, SHA-256 <code>{Sheet.Bound(hash, 128)}</code></dd>");
    }
}
