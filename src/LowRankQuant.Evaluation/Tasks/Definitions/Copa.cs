using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>COPA (Roemmele et al., 2011) as SuperGLUE has it: which of two is the cause, or the effect, of a premise.</summary>
internal static class Copa
{
    private const string Cause = "because", Effect = "therefore";

    public static RowTask Task { get; } = new("copa", false, ["copa/val.jsonl", "COPA/val.jsonl", "copa.jsonl"], Read)
    {
        Hub = new HubTaskData("aps/super_glue", "copa", "validation"),
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        (string premise, string connector, string[] choices, int label) = Document(row);
        premise = PythonText.Strip(premise);
        // The premise's full stop gives way to the connector.
        string context = $"{(premise.Length == 0 ? "" : premise[..^1])} {connector}";
        // In 0.4 the choice brings a space and the delimiter adds one.
        string space = harness == Harness.V03 ? " " : "  ";
        return new Question([.. choices.Select(choice => new TextPair(context, space + PythonText.LowerFirst(choice)))], label);
    }

    private static (string Premise, string Connector, string[] Choices, int Label) Document(TaskRow row)
    {
        if (row.Has("query")) return FromPrompt(row);
        string asked = row.Text("question");
        string connector = asked switch
        {
            "cause" => Cause,
            "effect" => Effect,
            _ => throw row.Wrong($"column 'question' must be cause or effect and is '{asked}'"),
        };
        return (row.Text("premise"), connector, [row.Text("choice1"), row.Text("choice2")], row.Integer("label"));
    }

    private static (string Premise, string Connector, string[] Choices, int Label) FromPrompt(TaskRow row)
    {
        string query = row.Text("query");
        string[] choices = [.. row.Texts("choices")];
        foreach (string connector in new[] { Cause, Effect })
        {
            string end = $", {connector}";
            if (query.EndsWith(end, StringComparison.Ordinal)) return (query[..^end.Length] + ".", connector, choices, row.Integer("gold"));
        }
        throw row.Wrong($"column 'query' must end in ', {Cause}' or ', {Effect}'");
    }
}
