using System.Text.RegularExpressions;
using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>HellaSwag (Zellers et al., ACL 2019): how a description of an activity goes on.</summary>
internal static partial class HellaSwag
{
    private const int FirstWithoutContext = 1_000_000;

    public static RowTask Task { get; } = new(
        "hellaswag", true, ["hellaswag/hellaswag_val.jsonl", "hellaswag_val.jsonl", "hellaswag/olmo_rc_5shot.requests.jsonl.gz", "hellaswag.jsonl"], Read)
    {
        Hub = new HubTaskData("Rowan/hellaswag", "default", "validation"),
        Rows = Documents,
    };

    /// <summary>
    /// The harness's cleaning, in its order: strip first, so that what stands behind a leading tag keeps its space; then every two spaces to one,
    /// once from left to right.
    /// </summary>
    internal static string Clean(string text) =>
        Tag().Replace(PythonText.Strip(text).Replace(" [title]", ". ", StringComparison.Ordinal), "").Replace("  ", " ", StringComparison.Ordinal);

    private static Question Read(TaskRow row, Harness harness)
    {
        // Requests of another harness hold context and choices cleaned already.
        if (row.Has("query")) return Question.Choose(row.Text("query"), row.Texts("choices"), row.Integer("gold"), normalized: true);
        string second = row.Has("ctx_b") ? PythonText.Capitalize(row.Text("ctx_b")) : "";
        return Question.Choose(
            Clean($"{row.Text("activity_label")}: {row.Text("ctx_a")} {second}"), [.. row.Texts("endings").Select(Clean)], row.Integer("label"), normalized: true);
    }

    /// <summary>Of a file of OLMES requests the documents: four requests have each, and again its choices without context under a number of their own.</summary>
    private static IReadOnlyList<TaskRow> Documents(string file)
    {
        IReadOnlyList<TaskRow> rows = TaskFile.Rows(file);
        return rows.Count > 0 && rows[0].HasAll("doc", "request")
            ? [.. rows.Where(row => row.Integer("idx") == 0 && row.Integer("doc_id") < FirstWithoutContext).Select(row => row.Part("doc"))]
            : rows;
    }

    [GeneratedRegex(@"\[.*?\]", RegexOptions.CultureInvariant)]
    private static partial Regex Tag();
}
