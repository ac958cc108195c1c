using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>A task with one item per row of one file.</summary>
/// <param name="name">Its name.</param>
/// <param name="normalized">Whether it reports accuracy per character.</param>
/// <param name="candidates">Where its file may lie within the data folder, the original distribution first.</param>
/// <param name="read">From a row, in the columns of the original distribution or of the files that copy it, to a question.</param>
internal sealed class RowTask(string name, bool normalized, IReadOnlyList<string> candidates, Func<TaskRow, Harness, Question> read) : EvaluationTask
{
    private readonly bool _predictsText;

    public RowTask(string name, IReadOnlyList<string> candidates, Func<TaskRow, Harness, Question> read, bool predictsText)
        : this(name, false, candidates, read) => _predictsText = predictsText;

    public override string Name => name;

    public override bool ReportsNormalized => normalized;

    public override bool PredictsText => _predictsText;

    /// <summary>Reads the rows of a file where they are not one item each, or carry something that lies in another file.</summary>
    public Func<string, IReadOnlyList<TaskRow>> Rows { get; init; } = TaskFile.Rows;

    /// <summary>Where the hub has its items; null where it has none that are known.</summary>
    public HubTaskData? Hub { get; init; }

    public override HubTaskData? OnHub => Hub;

    /// <summary>Files beside the first one that belong to it.</summary>
    public Func<string, IEnumerable<string>> Companions { get; init; } = _ => [];

    /// <summary>A row's question, checked.</summary>
    public Question Read(TaskRow row, Harness harness) => Checked(read(row, harness), row);

    /// <summary>Whether the choice is in the context, and what is scored is the rest of the sentence.</summary>
    public bool ContinuesSentence { get; init; }

    public override string? ChatProblem(Harness harness) => ContinuesSentence
        ? $"`apply_chat_template` with {name}: what is scored is the rest of a sentence behind each option, which has no place in an answer; leave the task out."
        : base.ChatProblem(harness);

    internal override IReadOnlyList<string> Files(DataFolder data)
    {
        string file = FileIn(data);
        return [file, .. Companions(file)];
    }

    private string FileIn(DataFolder data) => data.Fetched(name) is [string fetched, ..] ? fetched : data.Find(name, candidates);

    internal override IReadOnlyList<TaskItem> Load(DataFolder data, TaskSelection selection)
    {
        IReadOnlyList<(TaskRow Row, int Index)> rows = [.. Rows(FileIn(data)).Select((row, index) => (row, index))];
        return [.. selection.Choose(rows, name).Select(chosen => new TaskItem(name, chosen.Index, Read(chosen.Row, selection.Harness)) { LoneSurrogates = chosen.Row.LoneSurrogates })];
    }
}
