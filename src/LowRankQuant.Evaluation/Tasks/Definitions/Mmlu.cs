using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>MMLU (Hendrycks et al., ICLR 2021): 57 subjects, four choices, behind five solved questions of the subject.</summary>
internal sealed class Mmlu : EvaluationTask
{
    public const int UsualShots = 5;
    public const string TaskName = "mmlu";

    private const string TestEnd = "_test.csv", DevEnd = "_dev.csv";
    private static readonly string[] Letters = ["A", "B", "C", "D"];
    private static readonly string[] Folders = ["mmlu", "MMLU", "data", ""];

    public static Mmlu Task { get; } = new();

    public override string Name => TaskName;

    public override bool ReportsNormalized => false;

    public override HubTaskData? OnHub { get; } = new("cais/mmlu", "all", "test", "dev");

    public override string? Problem(TaskSelection selection) => selection switch
    {
        { Harness: Harness.V03 } =>
            "`harness` v0.3 with mmlu: lm-eval 0.3.0 scores the texts of the choices behind shots drawn at random, which nobody reports; " +
            "ask for hendrycks (the figures of LRQ's paper) or v0.4.",
        { Shots: < 0 or > UsualShots } => $"`shots` {selection.Shots} with mmlu: there are 0 to {UsualShots} solved questions a subject.",
        _ => null,
    };

    internal override IReadOnlyList<string> Files(DataFolder data) => data.Fetched(TaskName) is { } fetched ? fetched :
        [.. Subjects(data).SelectMany(subject => new[] { subject.Test, subject.Dev }).Where(File.Exists)];

    internal override IReadOnlyList<TaskItem> Load(DataFolder data, TaskSelection selection)
    {
        var items = new List<TaskItem>();
        if (data.Fetched(TaskName) is [string all, string solved])
        {
            ILookup<string, Row> shots = BySubject(solved);
            foreach (IGrouping<string, Row> subject in BySubject(all).OrderBy(subject => subject.Key, StringComparer.Ordinal))
                items.AddRange(Load(subject.Key, subject, shots[subject.Key], $"'{solved}', {subject.Key}", selection));
            return items;
        }
        foreach ((string subject, string test, string dev) in Subjects(data)) items.AddRange(Load(subject, Rows(test), Rows(dev), $"'{dev}'", selection));
        return items;
    }

    /// <summary>The rows of a table of all subjects, in their order.</summary>
    private static ILookup<string, Row> BySubject(string path) => TaskFile.Rows(path).ToLookup(row => row.Text("subject"), row =>
    {
        IReadOnlyList<string> choices = row.Texts("choices");
        int answer = row.Integer("answer");
        if (choices.Count != Letters.Length) throw row.Wrong($"there are {choices.Count} choices; {Letters.Length} are expected");
        if (answer < 0 || answer >= Letters.Length) throw row.Wrong($"the answer is {answer}; 0 to {Letters.Length - 1} are expected");
        return new Row(row.Text("question"), [.. choices], answer);
    });

    private static IEnumerable<TaskItem> Load(string subject, IEnumerable<Row> test, IEnumerable<Row> dev, string place, TaskSelection selection)
    {
        int shots = selection.Shots ?? UsualShots;
        Row[] solved = shots == 0 ? [] : [.. dev.Take(shots)];
        if (solved.Length < shots) throw new EvaluationException($"{place} has {solved.Length} rows; {shots} shots need as many.");
        bool hendrycks = selection.Harness == Harness.Hendrycks;
        // The Hendrycks code puts a second space in front of the subject, and leaves questions as they are.
        string header = $"The following are multiple choice questions (with answers) about {(hendrycks ? " " : "")}{subject.Replace('_', ' ')}.\n\n";
        string[] examples = [.. solved.Select(row => $"{row.Prompt(strip: !hendrycks)} {Letters[row.Answer]}\n\n")];
        IReadOnlyList<(Row Row, int Index)> rows = [.. test.Select((row, index) => (row, index))];
        foreach ((Row row, int index) in selection.Choose(rows, $"{TaskName} {subject}"))
        {
            var prompt = new ShotPrompt(header, examples, row.Prompt(strip: !hendrycks));
            yield return new TaskItem(TaskName, index, Question.Choose(prompt.Text(shots), Letters, row.Answer, normalized: false)) { Subject = subject, Shots = prompt };
        }
    }

    private static List<(string Subject, string Test, string Dev)> Subjects(DataFolder data)
    {
        string test = data.Find(TaskName, [.. Folders.Select(folder => Path.Combine(folder, "test"))]), dev = Path.Combine(Path.GetDirectoryName(test)!, "dev");
        var subjects = new List<(string, string, string)>();
        foreach (string file in Directory.EnumerateFiles(test, "*" + TestEnd).Order(StringComparer.Ordinal))
        {
            string subject = Path.GetFileName(file)[..^TestEnd.Length];
            subjects.Add((subject, file, Path.Combine(dev, subject + DevEnd)));
        }
        return subjects.Count > 0 ? subjects : throw new EvaluationException($"'{test}' holds no files named *{TestEnd}.");
    }

    /// <summary>The rows of a file: of the original distribution, without names of columns and with a letter as the answer, or with names and an index.</summary>
    private static IEnumerable<Row> Rows(string path)
    {
        IReadOnlyList<string[]> records = TaskFile.Records(path);
        bool named = records.Count > 0 && records[0] is ["question", ..];
        string[] expected = ["question", "choice0", "choice1", "choice2", "choice3", "answer"];
        if (named && !records[0].SequenceEqual(expected))
            throw new EvaluationException($"'{path}' has the columns {string.Join(", ", records[0])}; {string.Join(", ", expected)} are expected.");
        for (int i = named ? 1 : 0; i < records.Count; i++)
        {
            string[] record = records[i];
            string place = $"'{path}', record {i + 1}";
            if (record.Length != expected.Length) throw new EvaluationException($"{place} has {record.Length} columns; {expected.Length} are expected.");
            int answer = Array.IndexOf(named ? ["0", "1", "2", "3"] : Letters, record[^1].Trim());
            if (answer < 0) throw new EvaluationException($"{place}: the answer '{record[^1]}' is none of {(named ? "0, 1, 2, 3" : string.Join(", ", Letters))}.");
            yield return new Row(record[0], record[1..5], answer);
        }
    }

    private sealed record Row(string Question, string[] Choices, int Answer)
    {
        public string Prompt(bool strip)
        {
            string question = strip ? PythonText.Strip(Question) : Question;
            return $"{question}\n{string.Concat(Choices.Select((choice, i) => $"{Letters[i]}. {choice}\n"))}Answer:";
        }
    }
}
