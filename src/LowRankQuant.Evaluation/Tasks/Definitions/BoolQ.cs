using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>BoolQ (Clark et al., NAACL 2019) as SuperGLUE has it: is the answer to a question about a passage yes or no.</summary>
internal static class BoolQ
{
    private const string PassageMark = "Passage: ", QuestionMark = "Question: ";

    // No comes first in both harnesses' result: 0.3.0 needs yes strictly greater, and of equals the first choice wins.
    private static readonly string[] Answers = ["no", "yes"];

    public static RowTask Task { get; } = new(
        "boolq", false, ["boolq/val.jsonl", "BoolQ/val.jsonl", "boolq/dev.jsonl", "boolq.jsonl"], Read)
    {
        Hub = new HubTaskData("aps/super_glue", "boolq", "validation"),
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        (string passage, string question, int label) = Document(row);
        return Question.Choose($"{passage}\nQuestion: {question}?\nAnswer:", Answers, label, normalized: false);
    }

    private static (string Passage, string Question, int Label) Document(TaskRow row)
    {
        if (row.Has("query")) return FromPrompt(row);
        // BoolQ's own files have the page's title apart; SuperGLUE's passages begin with it.
        if (row.HasAll("title", "answer")) return ($"{row.Text("title")} -- {row.Text("passage")}", row.Text("question"), row.Integer("answer"));
        return (row.Text("passage"), row.Text("question"), row.Integer("label"));
    }

    private static (string Passage, string Question, int Label) FromPrompt(TaskRow row)
    {
        string query = row.Text("query");
        int line = query.LastIndexOf('\n');
        if (line < 0 || !query.StartsWith(PassageMark, StringComparison.Ordinal) || !query.AsSpan(line + 1).StartsWith(QuestionMark) || !query.EndsWith('?'))
            throw row.Wrong("column 'query' must read 'Passage: ...', a line end, 'Question: ...?'");
        return (query[PassageMark.Length..line], query[(line + 1 + QuestionMark.Length)..^1], row.Integer("gold"));
    }
}
