namespace LowRankQuant.Evaluation.Depth;

/// <summary>A window of an evaluation, and where its positions were compared.</summary>
/// <param name="Ids">Its tokens.</param>
/// <param name="First">The first position that was compared.</param>
/// <param name="End">Behind the last one.</param>
internal sealed record DepthWindow(int[] Ids, int First, int End);
