namespace LowRankQuant.Runs.Reports;

/// <summary>What a quantization run would take and give, known before any work. The names are those of <c>lrq plan json</c>.</summary>
public sealed record PlanReport
{
    /// <summary>Whether the run can be started as it was asked for.</summary>
    public required bool Works { get; init; }

    /// <summary>Everything that keeps it from that, one sentence each with the remedy.</summary>
    public required IReadOnlyList<string> Problems { get; init; }

    /// <summary>What was decided, changed or costs something.</summary>
    public required IReadOnlyList<string> Notes { get; init; }

    /// <summary>Method and grids in words.</summary>
    public required string Scheme { get; init; }

    /// <summary>The target; null for none.</summary>
    public string? Target { get; init; }

    /// <summary>Stored bits per weight of the source's linears.</summary>
    public double? SourceBitsPerWeight { get; init; }

    /// <summary>What the source's linears are stored as where it is quantized itself, such as <c>Q4_1</c>; null where they are floats.</summary>
    public string? SourceTypes { get; init; }

    /// <summary>Bytes of the source's model files.</summary>
    public long? SourceBytes { get; init; }

    /// <summary>Bits per parameter of the whole result, embedding and head included; null when its size is not known.</summary>
    public double? ResultBitsPerParameter { get; init; }

    /// <summary>One per quantizable linear of a block.</summary>
    public IReadOnlyList<PlannedGrid> Layers { get; init; } = [];

    /// <summary>Linears of the blocks that stay in their own type; empty where all are quantized.</summary>
    public IReadOnlyList<KeptLinear> KeptLinears { get; init; } = [];

    /// <summary>Embedding and output head where they are quantized; else empty.</summary>
    public IReadOnlyList<PlannedGrid> Vocabulary { get; init; } = [];

    /// <summary>Bits per quantized weight as lrq stores them, without low-rank branches; null when the grids do not fit the model.</summary>
    public double? BitsPerWeight { get; init; }

    /// <summary>Bytes of the result's tensors, without low-rank branches: quantized linears, everything else at 16 bits (fp32 scales: 32).</summary>
    public long? ResultBytes { get; init; }

    /// <summary>Bits per quantized weight in the target's file; null without a target.</summary>
    public double? TargetBitsPerWeight { get; init; }

    /// <summary>Bytes of the tensors in the target's file; null without a target.</summary>
    public long? TargetBytes { get; init; }

    /// <summary>Memory of one block's work.</summary>
    public long? BlockBytes { get; init; }

    /// <summary>How that work goes: "whole", or "expert by expert" or "linear by linear" as the block whole would not fit the budget; null when the memory was not planned.</summary>
    public string? BlockParts { get; init; }

    /// <summary>Memory of statistics of inputs beside that, of as many at a time as fit; null where there is no need for more.</summary>
    public long? StatisticsBytes { get; init; }

    /// <summary>Memory of all activations.</summary>
    public long? ActivationBytes { get; init; }

    /// <summary>How much of the activations fits the memory budget; the rest goes to disk.</summary>
    public long? ActivationBytesInMemory { get; init; }

    /// <summary>Memory of blocks that tuning keeps from the forward pass of a step to its backward pass; null where it keeps none.</summary>
    public long? KeptBlockBytes { get; init; }

    /// <summary>Bytes that the run writes at most.</summary>
    public long? DiskBytes { get; init; }

    /// <summary>Seconds for one block, estimated; null when it was not timed.</summary>
    public double? BlockSeconds { get; init; }

    /// <summary>Largest resident memory while the block was timed, with few windows; null when it was not timed, or where the system does not tell.</summary>
    public long? TimedPeakBytes { get; init; }

    /// <summary>The stages of the run with their times, estimated; empty when it was not timed.</summary>
    public IReadOnlyList<TimedStage> Stages { get; init; } = [];

    /// <summary>Seconds for all stages, estimated; null when it was not timed.</summary>
    public double? Seconds { get; init; }

    /// <summary>Seconds on top at most, where the training of every block starts again as often as it may; null where none does, or it was not timed.</summary>
    public double? RestartSeconds { get; init; }
}

/// <summary>The grid of one linear of every block.</summary>
/// <param name="Name">Name within the block.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Grid">Its grid.</param>
/// <param name="BitsPerWeight">As lrq stores it.</param>
/// <param name="Container">What holds it in the target's file; null without a target.</param>
/// <param name="TargetBitsPerWeight">Bits per weight there; null without a target.</param>
public sealed record PlannedGrid(
    string Name, int OutFeatures, int InFeatures, string Grid, double BitsPerWeight, string? Container, double? TargetBitsPerWeight);
