namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>How a recipe's column of right answers is to be understood.</summary>
public enum AnswerForm
{
    /// <summary>Index of the choice, from 0.</summary>
    Index,

    /// <summary>Number of the choice, from 1.</summary>
    Number,

    /// <summary>Letter of the choice, A for the first.</summary>
    Letter,

    /// <summary>The choice's text.</summary>
    Text,
}

/// <summary>A user's own multiple-choice set: where it lies and which column is what. Unknown keys are errors.</summary>
public sealed record OwnTaskRecipe
{
    /// <summary>Name in reports.</summary>
    public string? Name { get; init; }

    /// <summary>A .jsonl, .jsonl.gz or .csv file, relative to the recipe.</summary>
    public string? File { get; init; }

    /// <summary>The text in front of the choices; <c>{{column}}</c> stands for a column.</summary>
    public string? Context { get; init; }

    /// <summary>One column that holds an array of choices, or several that hold one each.</summary>
    public IReadOnlyList<string>? Choices { get; init; }

    /// <summary>The column of the right answer.</summary>
    public string? Answer { get; init; }

    /// <summary>How that column is to be understood.</summary>
    public AnswerForm AnswerForm { get; init; }

    /// <summary>Between context and choice; null for a space.</summary>
    public string? Delimiter { get; init; }

    /// <summary>Whether accuracy per character is reported too; null for yes.</summary>
    public bool? Normalized { get; init; }

    /// <summary>Halves of surrogate pairs in the recipe that were read as U+FFFD.</summary>
    internal int LoneSurrogates { get; init; }
}
