using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>The AI2 Reasoning Challenge (Clark et al., 2018): school science, an easy and a hard set.</summary>
internal static class Arc
{
    private const string Mark = "Question: ";

    public static RowTask Easy { get; } = new("arc_easy", true, ["ARC-Easy/ARC-Easy-Test.jsonl", "ARC-Easy-Test.jsonl", "arc_easy.jsonl"], Read)
    {
        Hub = new HubTaskData("allenai/ai2_arc", "ARC-Easy", "test"),
    };

    public static RowTask Challenge { get; } = new(
        "arc_challenge", true, ["ARC-Challenge/ARC-Challenge-Test.jsonl", "ARC-Challenge-Test.jsonl", "arc_challenge.jsonl"], Read)
    {
        Hub = new HubTaskData("allenai/ai2_arc", "ARC-Challenge", "test"),
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        LabelledChoices document = Document(row);
        return Question.Choose($"Question: {document.Question}\nAnswer:", document.Choices, document.Gold, normalized: true);
    }

    private static LabelledChoices Document(TaskRow row)
    {
        if (!row.Has("query")) return LabelledChoices.Read(row, "question");
        string query = row.Text("query");
        if (!query.StartsWith(Mark, StringComparison.Ordinal)) throw row.Wrong($"column 'query' must begin with '{Mark}'");
        return new LabelledChoices(query[Mark.Length..], row.Texts("choices"), row.Integer("gold"));
    }
}
