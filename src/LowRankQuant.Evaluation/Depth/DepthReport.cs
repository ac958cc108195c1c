namespace LowRankQuant.Evaluation.Depth;

/// <summary>Where a model differs from its reference, beyond the means of an evaluation. Everything is over compared positions, each a distribution over the next token.</summary>
public sealed record DepthReport
{
    /// <summary>What the reference loses by itself where it runs in bf16; null where it was not measured, as in reports of earlier versions.</summary>
    public NoiseFloor? Bf16Floor { get; init; }

    /// <summary>How the divergence is distributed.</summary>
    public required DivergenceDistribution Divergence { get; init; }

    /// <summary>Divergence by how sure the reference is, from unsure to sure; classes without a position are left out.</summary>
    public required IReadOnlyList<ConfidenceClass> ByConfidence { get; init; }

    /// <summary>Divergence where a token that carries format is due or read, by kind; kinds that do not occur are left out.</summary>
    public required IReadOnlyList<FormatTokens> Format { get; init; }

    /// <summary>How far the most probable token is ahead of the second, against the reference.</summary>
    public required MarginRatio Margin { get; init; }

    /// <summary>Positions where the most probable token changed and the reference was surest, surest first.</summary>
    public required IReadOnlyList<Flip> Flips { get; init; }

    /// <summary>The same beginnings continued by both models, each by its most probable tokens; empty where nothing was generated.</summary>
    public IReadOnlyList<SampleText> Samples { get; init; } = [];

    /// <summary>What each quantized linear loses alone; empty where it was not measured.</summary>
    public IReadOnlyList<ModuleLoss> Modules { get; init; } = [];
}

/// <summary>
/// The reference beside itself with inputs and weights of all linears, the head among them, rounded to bf16 and products added up in 32-bit floats. An engine that runs the reference in bf16
/// rounds what lies between linears too, and loses at least about as much.
/// </summary>
/// <param name="KlDivergence">Mean KL(reference || rounded reference), nats.</param>
/// <param name="StandardError">Its standard error, positions taken as independent; null of a single position.</param>
/// <param name="Top1Agreement">Share where both hold the same token for the most probable.</param>
public sealed record NoiseFloor(double KlDivergence, double? StandardError, double Top1Agreement);

/// <summary>KL(reference || model) in nats over positions.</summary>
/// <param name="Positions">How many.</param>
/// <param name="Median">Half of them are below.</param>
/// <param name="P90">Nine of ten are below.</param>
/// <param name="P99">99 of 100 are below.</param>
/// <param name="P999">999 of 1,000 are below.</param>
/// <param name="Largest">The largest.</param>
/// <param name="Bins">Counts between <see cref="Edges"/>.</param>
public sealed record DivergenceDistribution(long Positions, double Median, double P90, double P99, double P999, double Largest, IReadOnlyList<long> Bins)
{
    /// <summary>Borders of bins: below the first, between neighbours, and above the last, so that there is one bin more than borders. Four to a decade.</summary>
    public static IReadOnlyList<double> Edges { get; } = [.. Enumerable.Range(-24, 33).Select(quarter => Math.Pow(10, quarter / 4.0))];
}

/// <summary>Positions where the reference gives its most probable token a probability in [<paramref name="Low"/>, <paramref name="High"/>).</summary>
/// <param name="Low">Least probability.</param>
/// <param name="High">The probability that is too large; the last class holds 1 too.</param>
/// <param name="Positions">How many.</param>
/// <param name="KlDivergence">Mean, nats.</param>
/// <param name="Top1Agreement">Share where both hold the same token for the most probable.</param>
public sealed record ConfidenceClass(double Low, double High, long Positions, double KlDivergence, double Top1Agreement);

/// <summary>Positions whose next token in the text is of a kind that carries format.</summary>
/// <param name="Kind">Such as <c>end of text</c>, <c>turn</c>, <c>thinking</c>, <c>tool call</c>, <c>other special</c>.</param>
/// <param name="Tokens">The tokens of the kind that occurred, as the vocabulary spells them.</param>
/// <param name="Positions">How many.</param>
/// <param name="KlDivergence">Mean, nats.</param>
/// <param name="Top1Agreement">Share where both hold the same token for the most probable.</param>
public sealed record FormatTokens(string Kind, IReadOnlyList<string> Tokens, long Positions, double KlDivergence, double Top1Agreement);

/// <summary>The margin is the logarithm of the most probable token's probability over the second's; it shrinks before scores fall (arXiv 2608.06564).</summary>
/// <param name="Reference">Mean of the reference, nats.</param>
/// <param name="Model">Mean of the model between the same two tokens, nats; what is below 0 has changed sides.</param>
/// <param name="Ratio">The second over the first.</param>
/// <param name="Shrunk">Share of positions whose margin is less than half of the reference's.</param>
public sealed record MarginRatio(double Reference, double Model, double Ratio, double Shrunk);

/// <summary>A position where the most probable token changed.</summary>
/// <param name="Window">The window.</param>
/// <param name="Position">The position within.</param>
/// <param name="Context">The text before, its last words.</param>
/// <param name="Expected">The reference's token.</param>
/// <param name="ExpectedProbability">The probability that the reference gives it.</param>
/// <param name="Kept">The probability that the model gives it.</param>
/// <param name="Found">The model's token.</param>
/// <param name="FoundProbability">The probability that the model gives it.</param>
/// <param name="Actual">What the text goes on with; null at its end.</param>
/// <param name="KlDivergence">Of this position, nats.</param>
public sealed record Flip(
    int Window, int Position, string Context, string Expected, double ExpectedProbability, double Kept, string Found, double FoundProbability, string? Actual, double KlDivergence);

/// <summary>A beginning and how both models go on.</summary>
/// <param name="Prompt">The beginning.</param>
/// <param name="Reference">How the reference goes on.</param>
/// <param name="Model">How the model goes on.</param>
/// <param name="Shared">Tokens until they part.</param>
/// <param name="Tokens">Tokens of the model's text.</param>
/// <param name="ReferenceLoops">What the reference's text ends in, over and over; null where it does not loop.</param>
/// <param name="ModelLoops">The same of the model's.</param>
public sealed record SampleText(string Prompt, string Reference, string Model, int Shared, int Tokens, string? ReferenceLoops, string? ModelLoops);

/// <summary>The reference with one linear taken from the model.</summary>
/// <param name="Block">The block.</param>
/// <param name="Module">The linear's name within its block.</param>
/// <param name="KlDivergence">Mean KL(reference || reference with that linear), nats.</param>
/// <param name="Bits">Stored bits per weight of it.</param>
/// <param name="Rank">Rank of its branch.</param>
public sealed record ModuleLoss(int Block, string Module, double KlDivergence, double Bits, int Rank);
