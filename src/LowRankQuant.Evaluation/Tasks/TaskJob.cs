using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Tasks;

/// <summary>Which tasks a model is asked, and what becomes of the answers.</summary>
public sealed record TaskJob
{
    /// <summary>The tasks, in the order of the report.</summary>
    public required IReadOnlyList<EvaluationTask> Tasks { get; init; }

    /// <summary>The folder they are read from; null when all bring their own files.</summary>
    public string? Data { get; init; }

    /// <summary>Whether files of tasks come from the hub where it has them.</summary>
    public bool FromHub { get; init; }

    /// <summary>Those files as they lie on disk, by the name of the task, in the order of its splits; null where none were fetched.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>>? Fetched { get; init; }

    /// <summary>Conventions, and which items.</summary>
    public TaskSelection Selection { get; init; } = new();

    /// <summary>Begin-of-text token in front of contexts; auto is what the conventions say.</summary>
    public AddBos AddBos { get; init; }

    /// <summary>Puts contexts into the model's chat format.</summary>
    public bool ApplyChatTemplate { get; init; }

    /// <summary>Variables of that format's template; null for none.</summary>
    public TemplateArguments? ChatArguments { get; init; }

    /// <summary>Most tokens that the model is fed at once; null for its positions, with the Hendrycks scoring at most 2,048.</summary>
    public int? Context { get; init; }

    /// <summary>Where item records go; null for nowhere. An interrupted evaluation goes on from them.</summary>
    public string? ItemsFile { get; init; }

    /// <summary>A reference's item records to compare with; null for none.</summary>
    public string? Against { get; init; }
}
