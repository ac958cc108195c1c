using LowRankQuant.Evaluation.Figures;

namespace LowRankQuant.Evaluation;

/// <summary>How windows are weighed in a perplexity.</summary>
public enum PerplexityAverage
{
    /// <summary>exp of the plain mean of the windows' mean losses: the rule of GPTQ and LRQ.</summary>
    Windows,

    /// <summary>exp of the mean loss of all tokens.</summary>
    Tokens,
}

/// <summary>Definitions of the perplexity of a text. Figures of different definitions cannot be compared.</summary>
public enum PerplexityKind
{
    /// <summary>Windows side by side, each begun without context: GPTQ's and LRQ's.</summary>
    Windows,

    /// <summary>lm-evaluation-harness's: documents by themselves, every token scored, per word and per byte of the original text.</summary>
    Rolling,

    /// <summary>llama.cpp's: windows whose first half is context only.</summary>
    LlamaCpp,
}

/// <summary>Which positions count when two models are compared.</summary>
public enum ComparedPositions
{
    /// <summary>Every position of a window.</summary>
    All,

    /// <summary>Those that predict a scored token; the last of a window predicts none.</summary>
    Predicting,
}

/// <summary>What an <see cref="Evaluator"/> computes.</summary>
public sealed record EvaluationOptions
{
    /// <summary>How windows are weighed.</summary>
    public PerplexityAverage Average { get; init; }

    /// <summary>Which positions count in divergence and agreement.</summary>
    public ComparedPositions Positions { get; init; }

    /// <summary>Memory and disk for the reference's hidden states.</summary>
    public ModelRunnerOptions Memory { get; init; } = new();

    /// <summary>How the blocks of model and reference share memory; see <see cref="PairMemory"/>.</summary>
    public MemorySharing Sharing { get; init; }

    /// <summary>Where the reference's hidden states are kept on disk from one measurement to the next; null for nowhere.</summary>
    public ReferenceCache? ReferenceCache { get; init; }
}
