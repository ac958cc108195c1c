namespace LowRankQuant.Evaluation.Tasks.Data;

/// <summary>The folder that tasks are read from.</summary>
/// <param name="path">The folder.</param>
/// <param name="fetched">Files that were fetched from the hub, by the name of a task; null for none.</param>
internal sealed class DataFolder(string path, IReadOnlyDictionary<string, IReadOnlyList<string>>? fetched = null)
{
    /// <summary>The files of a task that were fetched, in the order of its splits; null where none were.</summary>
    public IReadOnlyList<string>? Fetched(string task) => fetched?.GetValueOrDefault(task);

    /// <summary>The first of the candidates that exists, in the folder itself or in its folder <c>tasks</c>.</summary>
    /// <param name="task">For the message.</param>
    /// <param name="candidates">Paths within the folder, the best first.</param>
    /// <exception cref="EvaluationException">None exists.</exception>
    public string Find(string task, IReadOnlyList<string> candidates) => TryFind(candidates) ?? throw new EvaluationException(
        $"{task}: '{path}' holds none of {string.Join(", ", candidates)} (nor has its folder 'tasks'); name the folder with `data`.");

    /// <summary>The first of the candidates that exists as a file or folder; null when none does.</summary>
    public string? TryFind(IReadOnlyList<string> candidates)
    {
        foreach (string candidate in candidates)
        {
            foreach (string full in new[] { Path.Combine(path, candidate), Path.Combine(path, "tasks", candidate) })
            {
                if (File.Exists(full) || Directory.Exists(full)) return full;
            }
        }
        return null;
    }
}
