namespace LowRankQuant.Evaluation.Tasks;

/// <summary>Which items of a task are asked, and how.</summary>
public sealed record TaskSelection
{
    /// <summary>Whose conventions prompts follow.</summary>
    public Harness Harness { get; init; }

    /// <summary>Items left out at the start of every task, of every subject of MMLU.</summary>
    public int Offset { get; init; }

    /// <summary>Most items of every task, of every subject of MMLU; null for all.</summary>
    public int? Limit { get; init; }

    /// <summary>Solved questions in front of each; null for what the task is known by.</summary>
    public int? Shots { get; init; }

    /// <summary>The chosen ones of a task's items.</summary>
    /// <exception cref="EvaluationException">There are none.</exception>
    internal IReadOnlyList<T> Choose<T>(IReadOnlyList<T> items, string name)
    {
        if (items.Count == 0) throw new EvaluationException($"{name} holds no items.");
        if (Offset >= items.Count) throw new EvaluationException($"`offset` {Offset}: {name} has {items.Count} items; begin before that.");
        return [.. items.Skip(Offset).Take(Limit ?? int.MaxValue)];
    }
}
