using System.Globalization;
using System.Text;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>The part of report.md, and of a model card, about tasks.</summary>
internal static class TaskMarkdown
{
    /// <summary>Writes it.</summary>
    public static string Write(TaskReport tasks)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"## Tasks\n\nBy the conventions of {MarkdownText.Of(tasks.Harness)}; differences are paired, item by item, with intervals of 95 %, in points of 100 where figures are shares. Flips: items that became right, items that became wrong.\n\n");
        text.Append("| task | figure | result | original | difference | flips | p (McNemar) | items |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
        foreach (TaskRow row in TaskRow.Of(tasks))
        {
            text.Append(CultureInfo.InvariantCulture, $"| {MarkdownText.Of(row.Task)} | {MarkdownText.Of(row.Figure)} | {row.ValueText()} | {row.ReferenceText()} | {row.DifferenceText()} | {row.FlipText()} | {(row.Paired?.PValue is null ? "" : Figure.Number(row.Paired.PValue, 2))} | {(row.Items > 0 ? Figure.Count(row.Items) : "")} |\n");
        }
        if (tasks.Source is { } source)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nAnswers of the result: {MarkdownText.Of(source.Items)}, SHA-256 {MarkdownText.Of(source.Sha256)}.");
            if (source.Against is not null) text.Append(CultureInfo.InvariantCulture, $" Of the original: {MarkdownText.Of(source.Against)}, SHA-256 {MarkdownText.Of(source.AgainstSha256)}.");
            text.Append('\n');
        }
        foreach (string note in tasks.Notes.Take(20)) text.Append(CultureInfo.InvariantCulture, $"\n{MarkdownText.Of(note)}\n");
        return text.Append('\n').ToString();
    }
}
