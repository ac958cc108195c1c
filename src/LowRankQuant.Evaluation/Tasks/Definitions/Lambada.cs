using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>LAMBADA (Paperno et al., ACL 2016) as OpenAI cleaned it: the last word of a passage.</summary>
internal static class Lambada
{
    public static RowTask Task { get; } = new(
        "lambada_openai", ["lambada_openai.jsonl", "lambada/lambada_test_en.jsonl", "lambada_test.jsonl"], Read, predictsText: true)
    {
        Hub = new HubTaskData("EleutherAI/lambada_openai", "default", "test"),
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        string text = row.Has("continuation") ? $"{row.Text("context")} {row.Text("continuation")}" : row.Text("text");
        int space = text.LastIndexOf(' ');
        if (space < 0) throw row.Wrong("the text must have a space in front of its last word");
        return new Question([new TextPair(text[..space], text[space..])], null);
    }
}
