using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>
/// WinoGrande (Sakaguchi et al., AAAI 2020), partial evaluation: the text behind the blank is scored behind the sentence filled with each option.
/// </summary>
internal static class WinoGrande
{
    public static RowTask Task { get; } = new("winogrande", false, ["winogrande/dev.jsonl", "winogrande_1.1/dev.jsonl", "winogrande.jsonl"], Read)
    {
        ContinuesSentence = true,
        Hub = new HubTaskData("allenai/winogrande", "winogrande_xl", "validation"),
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        (string sentence, string[] options, int gold) = Document(row);
        int blank = sentence.IndexOf('_', StringComparison.Ordinal);
        if (blank < 0) throw row.Wrong("column 'sentence' must hold a blank, '_'");
        string continuation = " " + PythonText.Strip(sentence[(blank + 1)..]);
        return new Question([.. options.Select(option => new TextPair(sentence[..blank] + option, continuation))], gold);
    }

    private static (string Sentence, string[] Options, int Gold) Document(TaskRow row)
    {
        if (!row.Has("context_options")) return (row.Text("sentence"), [row.Text("option1"), row.Text("option2")], row.Integer("answer") - 1);
        (string prefix, string[] options) = Blank.Split(row);
        return ($"{prefix}_ {row.Text("continuation")}", options, row.Integer("gold"));
    }
}
