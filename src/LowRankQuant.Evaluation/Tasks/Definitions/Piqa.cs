using System.Text.Json.Nodes;
using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>PIQA (Bisk et al., AAAI 2020): which of two solutions reaches a goal.</summary>
internal static class Piqa
{
    private const string Labels = "valid-labels.lst";

    public static RowTask Task { get; } = new("piqa", true, ["piqa-original/valid.jsonl", "piqa/valid.jsonl", "piqa.jsonl"], Read)
    {
        Hub = new HubTaskData("ybisk/piqa", "plain_text", "validation"),
        Rows = WithLabels,
        Companions = file => LabelFile(file) is { } labels ? [labels] : [],
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        if (row.Has("query") && !row.Has("goal"))
        {
            throw row.Wrong(
                "this copy of PIQA has prompts whose outer spaces are cut off, which changes 118 items; take the original valid.jsonl with valid-labels.lst");
        }
        // Solutions are not stripped: outer spaces are scored, and counted by acc_norm.
        return Question.Choose($"Question: {row.Text("goal")}\nAnswer:", [row.Text("sol1"), row.Text("sol2")], row.Integer("label"), normalized: true);
    }

    /// <summary>The rows, with the column <c>label</c> from the file beside them where it is not one of theirs.</summary>
    private static IReadOnlyList<TaskRow> WithLabels(string file)
    {
        IReadOnlyList<TaskRow> rows = TaskFile.Rows(file);
        if (rows.Count == 0 || rows[0].Has("label") || rows[0].Has("query")) return rows;
        if (LabelFile(file) is not { } path) throw new EvaluationException($"'{file}' has no column 'label', and no {Labels} stands beside it.");
        string[] labels = [.. File.ReadLines(path).Where(line => line.Length > 0)];
        if (labels.Length != rows.Count) throw new EvaluationException($"'{path}' has {labels.Length} labels and '{file}' {rows.Count} rows; they must be of one set.");
        return [.. rows.Select((row, i) => new TaskRow($"'{file}', line {i + 1}", new JsonObject
        {
            ["goal"] = row.Text("goal"),
            ["sol1"] = row.Text("sol1"),
            ["sol2"] = row.Text("sol2"),
            ["label"] = labels[i],
        }, row.LoneSurrogates))];
    }

    private static string? LabelFile(string file)
    {
        string path = Path.Combine(Path.GetDirectoryName(file)!, Labels);
        return File.Exists(path) ? path : null;
    }
}
