using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>The Winograd Schema Challenge (Levesque et al., KR 2012), 273 sentences, partial evaluation as in WinoGrande.</summary>
internal static class Wsc273
{
    private const string Pronoun = "_";

    private static readonly string[] Capitals = ["A", "An", "The", "She", "He", "It", "They", "My", "His", "Her", "Their"];
    private static readonly string[] Possessives = ["my", "his", "her", "our", "their"];

    public static RowTask Task { get; } = new("wsc273", false, ["wsc273.jsonl", "wsc273/test.jsonl", "winograd_wsc.jsonl"], Read)
    {
        ContinuesSentence = true,
        Hub = new HubTaskData("ErnestSDavis/winograd_wsc", "wsc273", "test"),
    };

    private static Question Read(TaskRow row, Harness harness)
    {
        (string text, string pronoun, int location, IReadOnlyList<string> options, int label) = Document(row);
        text = text.Replace("  ", " ", StringComparison.Ordinal);
        if (location < 0 || location + PythonText.Length(pronoun) > PythonText.Length(text)) throw row.Wrong($"the pronoun's place, {location}, is not within the text");
        int start = PythonText.Utf16Index(text, location);
        string before = text[..start], rest = text[(start + pronoun.Length)..];
        // 0.4 scores the rest as it stands behind the delimiter: two spaces, unless the rest begins with punctuation.
        string continuation = " " + (harness == Harness.V03 ? PythonText.Strip(rest) : rest);
        bool startsSentence = TwoBefore(text, location) == '.';
        return new Question([.. options.Select(option => new TextPair(before + Normalize(option, pronoun, startsSentence), continuation))], label);
    }

    private static (string Text, string Pronoun, int Location, IReadOnlyList<string> Options, int Label) Document(TaskRow row)
    {
        if (!row.Has("context_options")) return (row.Text("text"), row.Text("pronoun"), row.Integer("pronoun_loc"), row.Texts("options"), row.Integer("label"));
        (string prefix, string[] options) = Blank.Split(row);
        string continuation = row.Text("continuation");
        string space = continuation.Length > 0 && char.IsLetterOrDigit(continuation[0]) ? " " : "";
        return (prefix + Pronoun + space + continuation, Pronoun, PythonText.Length(prefix), options, row.Integer("gold"));
    }

    private static string Normalize(string option, string pronoun, bool startsSentence)
    {
        if (Possessives.Contains(pronoun.ToLowerInvariant())) option += "'s";
        string first = option.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
        return !startsSentence && Capitals.Contains(first) ? option.Replace(first, first.ToLowerInvariant(), StringComparison.Ordinal) : option;
    }

    /// <summary><c>text[location - 2]</c>, counted from the end where that is negative, as in Python.</summary>
    private static char TwoBefore(string text, int location)
    {
        int at = location >= 2 ? PythonText.Utf16Index(text, location - 2) : text.Length + location - 2;
        return at >= 0 && at < text.Length ? text[at] : '\0';
    }
}
