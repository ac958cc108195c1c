using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Models;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Runs.Evaluating;

/// <summary>A measurement of a model on a text or token ids, on tasks, or on both.</summary>
public sealed record EvaluationJob
{
    /// <summary>The model; stays the caller's.</summary>
    public required CausalModel Model { get; init; }

    /// <summary>What KL divergence and agreement are measured against; null for neither. Stays the caller's.</summary>
    public CausalModel? Reference { get; init; }

    /// <summary>The tasks that the model is asked; null for none.</summary>
    public TaskJob? Tasks { get; init; }

    /// <summary>The text file; null when <see cref="Ids"/> is given, or tasks alone.</summary>
    public string? Text { get; init; }

    /// <summary>What the text file holds, and in which field.</summary>
    public TextSourceOptions TextOptions { get; init; } = new() { FormatOption = "`text_format`" };

    /// <summary>Whether the rows of the text are joined by blank lines, as papers do with WikiText-2; of windows only.</summary>
    public bool JoinRows { get; init; }

    /// <summary>A file of token ids, one JSON array a line, each one window; null when <see cref="Text"/> is given, or tasks alone.</summary>
    public string? Ids { get; init; }

    /// <summary>Which definition of perplexity.</summary>
    public PerplexityKind Perplexity { get; init; }

    /// <summary>Whose rolling perplexity; the other kinds have no such conventions.</summary>
    public Harness Harness { get; init; }

    /// <summary>How a text is cut; of ids only the number of windows counts.</summary>
    public TextWindowOptions Windows { get; init; } = new();

    /// <summary>What the loss is averaged over.</summary>
    public PerplexityAverage Average { get; init; }

    /// <summary>Whether the begin-of-text token stands in front of the text.</summary>
    public AddBos AddBos { get; init; }

    /// <summary>A folder in which the reference's hidden states on the windows are kept from one evaluation to the next; null for none. See <see cref="LowRankQuant.Evaluation.ReferenceCache"/>.</summary>
    public string? ReferenceCache { get; init; }

    /// <summary>What a report in depth looks at beside the means; null for none. Needs a reference and a text or ids, and is not of rolling perplexity.</summary>
    public DepthOptions? Depth { get; init; }

    /// <summary>Memory the run may take, bytes; null for what the machine has.</summary>
    public long? MemoryBytes { get; init; }
}
