namespace LowRankQuant.Models.Generation;

/// <summary>How the next token is chosen.</summary>
public sealed record SamplingOptions
{
    /// <summary>Divides the logits; 0 takes the most probable token.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Start of the random numbers; every sequence has a stream of its own, so neighbours in a batch do not matter.</summary>
    public ulong Seed { get; init; }

    /// <summary>Number of the first sequence's stream.</summary>
    public ulong FirstStream { get; init; }

    /// <summary>Tokens that end a sequence; they are part of the result. Empty to go on to the full length.</summary>
    public IReadOnlyCollection<int> StopIds { get; init; } = [];
}
