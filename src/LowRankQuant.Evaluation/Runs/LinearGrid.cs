namespace LowRankQuant.Evaluation.Runs;

/// <summary>The linears of a model that lie on one kind of grid.</summary>
/// <param name="Description">The grid and the type of its scales, such as <c>w3 symmetric g32, Float16 scales</c>; <c>floats</c> for linears in 16 bits and more.</param>
/// <param name="Linears">How many linears these are.</param>
/// <param name="Weights">Their weights.</param>
/// <param name="StoredBits">Bits in the file: codes, scales, zero points and low-rank branches; 0 for floats, which are not counted.</param>
public sealed record LinearGrid(string Description, int Linears, long Weights, long StoredBits)
{
    /// <summary>What linears in plain floats are called.</summary>
    public const string Floats = "floats";
}
