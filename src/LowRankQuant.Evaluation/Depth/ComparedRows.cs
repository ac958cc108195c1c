using LowRankQuant.Numerics;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>Some neighbouring positions of a window with the logits of both models.</summary>
internal sealed class ComparedRows
{
    /// <summary>Number of the window.</summary>
    public required int Window { get; init; }

    /// <summary>Its tokens.</summary>
    public required int[] Ids { get; init; }

    /// <summary>The position of the first row.</summary>
    public required int First { get; init; }

    /// <summary>The first position that is compared; rows before it are passed over.</summary>
    public required int FirstCompared { get; init; }

    /// <summary>Behind the last position that is compared.</summary>
    public required int EndCompared { get; init; }

    /// <summary>The reference's logits, [rows, vocabulary]; on the host.</summary>
    public required Tensor Reference { get; init; }

    /// <summary>Of the reference's rows.</summary>
    public required RowStatistics ReferenceStatistics { get; init; }

    /// <summary>The model's logits, [rows, vocabulary]; on the host.</summary>
    public required Tensor Model { get; init; }

    /// <summary>Of the model's rows.</summary>
    public required RowStatistics ModelStatistics { get; init; }
}
