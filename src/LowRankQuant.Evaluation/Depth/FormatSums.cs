using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>Divergence at positions whose next token in the text carries format.</summary>
/// <param name="markers">Which tokens do.</param>
/// <param name="tokenizer">Spells them.</param>
internal sealed class FormatSums(FormatMarkers markers, ITokenizer tokenizer)
{
    private readonly Dictionary<string, (DivergenceSum Sum, SortedSet<int> Tokens)> _kinds =
        FormatMarkers.Kinds.ToDictionary(kind => kind, _ => (new DivergenceSum(), new SortedSet<int>()), StringComparer.Ordinal);

    /// <summary>Adds a position.</summary>
    /// <param name="next">The token that follows in the text.</param>
    /// <param name="divergence">Nats.</param>
    /// <param name="agrees">Whether both hold the same token for the most probable.</param>
    public void Add(int next, double divergence, bool agrees)
    {
        if (markers.KindOf(next) is not { } kind) return;
        (DivergenceSum sum, SortedSet<int> tokens) = _kinds[kind];
        sum.Add(divergence, agrees);
        tokens.Add(next);
    }

    /// <summary>The kinds that occurred.</summary>
    public IReadOnlyList<FormatTokens> Result() =>
    [
        .. FormatMarkers.Kinds.Where(kind => _kinds[kind].Sum.Positions > 0).Select(kind =>
        {
            (DivergenceSum sum, SortedSet<int> tokens) = _kinds[kind];
            return new FormatTokens(kind, [.. tokens.Select(id => tokenizer.TokenText(id)!)], sum.Positions, sum.Mean, sum.Agreement);
        }),
    ];
}
