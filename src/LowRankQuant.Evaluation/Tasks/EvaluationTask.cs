using LowRankQuant.Evaluation.Tasks.Data;

namespace LowRankQuant.Evaluation.Tasks;

/// <summary>A set of questions with the prompts and metrics it is known by.</summary>
public abstract class EvaluationTask
{
    /// <summary>Its name on the command line and in reports, as lm-evaluation-harness has it.</summary>
    public abstract string Name { get; }

    /// <summary>Whether it reports accuracy by log-likelihood per character.</summary>
    public abstract bool ReportsNormalized { get; }

    /// <summary>Whether an item is one text that should be the most probable continuation, and perplexity is reported.</summary>
    public virtual bool PredictsText => false;

    /// <summary>Where the hub has its items; null where it has none that are known.</summary>
    public virtual HubTaskData? OnHub => null;

    /// <summary>What is wrong about asking for this task in chat format; null when nothing is.</summary>
    public virtual string? ChatProblem(Harness harness) =>
        harness == Harness.V04 ? null : $"`apply_chat_template` with `harness` {HarnessNames.Of(harness)}: these conventions are older than chat formats; ask for v0.4.";

    /// <summary>Looks whether the task's files are there.</summary>
    /// <param name="data">The folder; null when the task brings its own.</param>
    /// <exception cref="EvaluationException">They are not.</exception>
    public void CheckFiles(string? data) => Files(new DataFolder(data ?? "."));

    /// <summary>The files that the task is read from.</summary>
    /// <exception cref="EvaluationException">They are not in the folder.</exception>
    internal abstract IReadOnlyList<string> Files(DataFolder data);

    /// <summary>Reads the chosen items.</summary>
    /// <exception cref="EvaluationException">A file is absent or unsound, a column is missing, a gold index is out of range.</exception>
    internal abstract IReadOnlyList<TaskItem> Load(DataFolder data, TaskSelection selection);

    /// <summary>What is wrong about asking for this task so; null when nothing is.</summary>
    public virtual string? Problem(TaskSelection selection)
    {
        if (selection.Harness == Harness.Hendrycks)
            return $"`harness` hendrycks with {Name}: the Hendrycks code scores the letters of MMLU and nothing else; ask for v0.4 or v0.3.";
        return selection.Shots is > 0
            ? $"`shots` {selection.Shots} with {Name}: the harness draws its shots by a random generator from a training set that is not here; only mmlu takes shots."
            : null;
    }

    /// <summary>A question, checked: at least one request, the gold index among them.</summary>
    internal static Question Checked(Question question, TaskRow row)
    {
        if (question.Gold is { } gold && (gold < 0 || gold >= question.Requests.Count))
            throw row.Wrong($"the right choice is number {gold} and the choices go from 0 to {question.Requests.Count - 1}");
        return question;
    }
}
