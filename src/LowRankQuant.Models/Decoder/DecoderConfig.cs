using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder;

/// <summary>Sizes and choices of a decoder-only Transformer, whatever file they came from.</summary>
public sealed record DecoderConfig
{
    /// <summary>The family, as <c>model_type</c> of config.json names it.</summary>
    public required string ModelType { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; divides <see cref="Heads"/>.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Elements of one head; not always HiddenSize / Heads.</summary>
    public required int HeadSize { get; init; }

    /// <summary>Width of the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Rows of the embedding.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Longest sequence the model was made for.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Added to the mean square in norms.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>The MLP's non-linearity.</summary>
    public required Activation Activation { get; init; }

    /// <summary>Rotary embedding.</summary>
    public required RopeConfig Rope { get; init; }

    /// <summary>Whether the output head is the embedding.</summary>
    public required bool TiedEmbeddings { get; init; }

    /// <summary>Multiplies q k; null for 1 / sqrt(HeadSize).</summary>
    public float? AttentionScale { get; init; }

    /// <summary>Keys visible to a query, itself included; 0 for all.</summary>
    public int SlidingWindow { get; init; }

    /// <summary>Begin-of-text id of the configuration, if any.</summary>
    public int? BosId { get; init; }

    /// <summary>End-of-text ids of the configuration.</summary>
    public IReadOnlyList<int> EosIds { get; init; } = [];
}
