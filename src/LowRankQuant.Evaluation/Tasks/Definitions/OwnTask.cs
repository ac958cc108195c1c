using System.Text.RegularExpressions;
using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>The task of an <see cref="OwnTaskRecipe"/>.</summary>
internal sealed partial class OwnTask(OwnTaskRecipe recipe, string file) : EvaluationTask
{
    public override string Name => recipe.Name!;

    public override bool ReportsNormalized => recipe.Normalized ?? true;

    /// <summary>Reads a recipe.</summary>
    /// <exception cref="EvaluationException">It is absent, no sound JSON, or something in it is missing or wrong; all that is wrong is said.</exception>
    public static OwnTask Read(string path)
    {
        List<string> problems = [];
        OwnTaskRecipe recipe = OwnTaskReader.Read(path, problems);
        if (problems.Count > 0) throw new EvaluationException($"'{path}': {string.Join("; ", problems)}.");
        if (string.IsNullOrWhiteSpace(recipe.Name)) problems.Add("'name' is missing: what the quiz is called in reports");
        else if (TaskCatalog.Find(recipe.Name) is not null) problems.Add($"'name' is {recipe.Name}, which is a built-in task; choose another");
        if (recipe.Context is null) problems.Add("'context' is missing: the text in front of the choices, with {{column}} for a column");
        if (recipe.Choices is null or []) problems.Add("'choices' is missing: an array with the column of all choices, or with a column for each, such as [\"a\", \"b\", \"c\"]");
        if (recipe.Answer is null) problems.Add("'answer' is missing: the column of the right answer, such as \"right\"");
        string data = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, recipe.File ?? "");
        if (recipe.File is null) problems.Add("'file' is missing: the file of the items, such as \"quiz.jsonl\"");
        else if (!File.Exists(data)) problems.Add($"'file': '{data}' does not exist");
        return problems.Count == 0 ? new OwnTask(recipe, data) : throw new EvaluationException($"'{path}': {string.Join("; ", problems)}.");
    }

    internal override IReadOnlyList<string> Files(DataFolder data) => [file];

    internal override IReadOnlyList<TaskItem> Load(DataFolder data, TaskSelection selection)
    {
        IReadOnlyList<(TaskRow Row, int Index)> rows = [.. TaskFile.Rows(file).Select((row, index) => (row, index))];
        return [.. selection.Choose(rows, Name).Select(chosen => new TaskItem(Name, chosen.Index, Checked(Read(chosen.Row), chosen.Row)) { LoneSurrogates = chosen.Row.LoneSurrogates + recipe.LoneSurrogates })];
    }

    private Question Read(TaskRow row)
    {
        string context = Column().Replace(recipe.Context!, match => row.Text(match.Groups[1].Value));
        IReadOnlyList<string> choices = recipe.Choices is [string one] ? row.Texts(one) : [.. recipe.Choices!.Select(row.Text)];
        string delimiter = recipe.Delimiter ?? " ";
        if (choices.Count < 2) throw row.Wrong($"there are {choices.Count} choices; at least 2 are needed");
        return new Question([.. choices.Select(choice => new TextPair(context, delimiter + choice))], Gold(row, choices))
        {
            Lengths = ReportsNormalized ? [.. choices.Select(PythonText.Length)] : null,
        };
    }

    private int Gold(TaskRow row, IReadOnlyList<string> choices) => recipe.AnswerForm switch
    {
        AnswerForm.Number => row.Integer(recipe.Answer!) - 1,
        AnswerForm.Letter => row.Position([.. Enumerable.Range(0, Math.Min(26, choices.Count)).Select(i => $"{(char)('A' + i)}")], row.Text(recipe.Answer!).Trim().ToUpperInvariant()),
        AnswerForm.Text => row.Position(choices, row.Text(recipe.Answer!)),
        _ => row.Integer(recipe.Answer!),
    };

    [GeneratedRegex(@"\{\{\s*([^{}]+?)\s*\}\}", RegexOptions.CultureInvariant)]
    private static partial Regex Column();
}
