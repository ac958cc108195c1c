namespace LowRankQuant.Evaluation;

/// <summary>Token ids that a model sees at once, and which of them are measured.</summary>
/// <param name="Ids">The tokens; at least 2.</param>
/// <param name="FirstNew">
/// Index of the first token that counts; the ones before are context only. The first token of a window is never predicted.
/// </param>
public sealed record TextWindow(int[] Ids, int FirstNew = 0)
{
    /// <summary>Tokens that are predicted and count: all from <see cref="FirstNew"/> on but the first of the window.</summary>
    public int ScoredTokens => Ids.Length - Math.Max(1, FirstNew);
}
