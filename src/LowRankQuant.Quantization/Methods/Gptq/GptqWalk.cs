namespace LowRankQuant.Quantization.Methods.Gptq;

/// <summary>The grid of a group of weights.</summary>
/// <param name="weights">The group.</param>
internal delegate (double Scale, double Zero) GroupGrid(ReadOnlySpan<double> weights);

/// <summary>How <see cref="GptqRounding"/> walks through the columns of a weight; as it is made, in their order and on a frozen grid.</summary>
internal sealed record GptqWalk
{
    /// <summary>
    /// Columns in the order in which they are rounded, [n]; null for that in which they stand. The factor of the inverse and <see cref="Correction"/> are in this order too.
    /// </summary>
    public int[]? Order { get; init; }

    /// <summary>
    /// Finds a group's grid when its first column is reached, from what its weights have become by then; null where the grid is frozen. Together with <see cref="Order"/> groups are
    /// of columns that follow each other in the walk, so that every column's group has to be known beside the codes.
    /// </summary>
    public GroupGrid? Moved { get; init; }

    /// <summary>P of GPTAQ, [n, n], of which only what is above the diagonal is read; null for none.</summary>
    public double[]? Correction { get; init; }
}
