namespace LowRankQuant.Evaluation.Depth;

/// <summary>Divergence by how sure the reference is.</summary>
internal sealed class ConfidenceSums
{
    private static readonly double[] Borders = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1];
    private readonly DivergenceSum[] _classes = [.. Enumerable.Range(0, Borders.Length - 1).Select(_ => new DivergenceSum())];

    /// <summary>Adds a position.</summary>
    /// <param name="probability">The reference's of its most probable token.</param>
    /// <param name="divergence">Nats.</param>
    /// <param name="agrees">Whether both hold the same token for the most probable.</param>
    public void Add(double probability, double divergence, bool agrees)
    {
        int at = _classes.Length - 1;
        while (at > 0 && !(probability >= Borders[at])) at--;
        _classes[at].Add(divergence, agrees);
    }

    /// <summary>The classes that have a position, from unsure to sure.</summary>
    public IReadOnlyList<ConfidenceClass> Result() =>
    [
        .. _classes.Select((sum, i) => (Sum: sum, Low: Borders[i], High: Borders[i + 1])).Where(part => part.Sum.Positions > 0)
            .Select(part => new ConfidenceClass(part.Low, part.High, part.Sum.Positions, part.Sum.Mean, part.Sum.Agreement)),
    ];
}

/// <summary>Mean divergence and agreement of positions of a kind, summed in the order of the positions.</summary>
internal sealed class DivergenceSum
{
    private double _divergence;
    private long _agreements;

    /// <summary>How many.</summary>
    public long Positions { get; private set; }

    /// <summary>Mean divergence, nats.</summary>
    public double Mean => _divergence / Positions;

    /// <summary>Share of positions where both hold the same token for the most probable.</summary>
    public double Agreement => (double)_agreements / Positions;

    /// <summary>Adds a position.</summary>
    public void Add(double divergence, bool agrees)
    {
        Positions++;
        _divergence += divergence;
        _agreements += agrees ? 1 : 0;
    }
}
