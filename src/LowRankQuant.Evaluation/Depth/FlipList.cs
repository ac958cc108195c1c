namespace LowRankQuant.Evaluation.Depth;

/// <summary>The positions where the most probable token changed and the reference was surest, a bounded number of them. Of two that are as sure the earlier one stays.</summary>
/// <param name="most">How many.</param>
internal sealed class FlipList(int most)
{
    // The one that goes first is at its head.
    private readonly PriorityQueue<Candidate, (double Probability, long Order)> _kept =
        new(Comparer<(double Probability, long Order)>.Create((a, b) => a.Probability != b.Probability ? a.Probability.CompareTo(b.Probability) : b.Order.CompareTo(a.Order)));

    private long _added;

    /// <summary>Adds a position; those must come in order.</summary>
    /// <param name="window">The window.</param>
    /// <param name="ids">Its tokens.</param>
    /// <param name="position">The position within.</param>
    /// <param name="facts">What both models say.</param>
    /// <param name="divergence">Nats.</param>
    public void Add(int window, int[] ids, int position, in PositionFacts facts, double divergence)
    {
        if (facts.Agrees) return;
        (double, long) order = (facts.Probability, _added++);
        // A later one has to be surer.
        if (_kept.Count == most && _kept.TryPeek(out _, out (double Probability, long Order) least) && facts.Probability <= least.Probability) return;
        int[] context = ids[Math.Max(0, position + 1 - DepthOptions.ContextTokens)..(position + 1)];
        int? next = position + 1 < ids.Length ? ids[position + 1] : null;
        _kept.Enqueue(new Candidate(window, position, context, facts, next, divergence), order);
        if (_kept.Count > most) _kept.Dequeue();
    }

    /// <summary>The flips, surest first.</summary>
    /// <param name="words">Spells tokens.</param>
    public IReadOnlyList<Flip> Result(TokenWords words) =>
    [
        .. _kept.UnorderedItems.OrderByDescending(item => item.Priority.Probability).ThenBy(item => item.Priority.Order).Select(item =>
        {
            Candidate at = item.Element;
            return new Flip(
                at.Window, at.Position, words.Of(at.Context), words.After(at.Context, at.Facts.Expected), at.Facts.Probability, at.Facts.Kept, words.After(at.Context, at.Facts.Found),
                at.Facts.FoundProbability, at.Next is { } next ? words.After(at.Context, next) : null, at.Divergence);
        }),
    ];

    private sealed record Candidate(int Window, int Position, int[] Context, PositionFacts Facts, int? Next, double Divergence);
}
