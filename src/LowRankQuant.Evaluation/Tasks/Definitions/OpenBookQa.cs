using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>OpenBookQA (Mihaylov et al., EMNLP 2018), without the book: the stem alone is the context.</summary>
internal static class OpenBookQa
{
    public static RowTask Task { get; } = new(
        "openbookqa", true, ["OpenBookQA-V1-Sep2018/Data/Main/test.jsonl", "openbookqa/test.jsonl", "openbookqa.jsonl", "openbook_qa.jsonl"], Read)
    {
        Hub = new HubTaskData("allenai/openbookqa", "main", "test"),
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        if (row.Has("query")) return Question.Choose(row.Text("query"), row.Texts("choices"), row.Integer("gold"), normalized: true);
        LabelledChoices document = LabelledChoices.Read(row, "question_stem");
        return Question.Choose(document.Question, document.Choices, document.Gold, normalized: true);
    }
}
