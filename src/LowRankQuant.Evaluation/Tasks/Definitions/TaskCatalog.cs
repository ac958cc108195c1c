namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>The tasks there are.</summary>
public static class TaskCatalog
{
    /// <summary>The built-in tasks; the first seven are the common-sense tasks of LRQ's tables.</summary>
    public static IReadOnlyList<EvaluationTask> BuiltIn { get; } =
    [
        BoolQ.Task, Piqa.Task, HellaSwag.Task, WinoGrande.Task, Arc.Easy, Arc.Challenge, OpenBookQa.Task, Lambada.Task, Copa.Task, Wsc273.Task, Mmlu.Task,
    ];

    /// <summary>A built-in task by its name; null when there is none.</summary>
    public static EvaluationTask? Find(string name) => BuiltIn.FirstOrDefault(task => task.Name == name);

    /// <summary>The task that a word names: a built-in one, or a recipe of the user's own (a path that ends in .json).</summary>
    /// <exception cref="EvaluationException">There is none of that name, or the recipe is unsound.</exception>
    public static EvaluationTask Resolve(string word)
    {
        if (Find(word) is { } task) return task;
        if (word.EndsWith(".json", StringComparison.OrdinalIgnoreCase)) return OwnTask.Read(word);
        throw new EvaluationException($"'{word}' is no task{Spelling.Suggest(word, BuiltIn.Select(known => known.Name))}: {string.Join(", ", BuiltIn.Select(known => known.Name))}, or a recipe of your own, a .json file.");
    }
}
