namespace LowRankQuant.Models.Decoder.Passes;

/// <summary>Rows of an activation matrix that stand at consecutive positions of a sequence, behind what its lane holds.</summary>
/// <param name="Row">The first of them.</param>
/// <param name="Length">How many.</param>
/// <param name="Position">Position of the first; the lane holds those before.</param>
public readonly record struct LaneRows(int Row, int Length, int Position);

/// <summary>What one lane, the state of a sequence at a time, does in a forward pass.</summary>
/// <param name="Lane">Its state, of the block that the pass goes through.</param>
/// <param name="Rows">
/// Taken in order; each may go back and overwrite what stood behind its position. So the branches of a tree of tokens pass through one lane: in
/// preorder, what stands before a branch are its ancestors.
/// </param>
public sealed record LaneWork(IMixerState Lane, IReadOnlyList<LaneRows> Rows);
