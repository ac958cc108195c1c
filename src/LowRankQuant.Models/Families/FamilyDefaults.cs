namespace LowRankQuant.Models.Families;

/// <summary>What a configuration means where it does not say it, and under which keys a family says what others say under others.</summary>
internal sealed record FamilyDefaults
{
    /// <summary>Width of the MLP that is four times that of the stream.</summary>
    public const int FourTimes = -1;

    /// <summary>Key of the norms' epsilon.</summary>
    public string EpsilonKey { get; init; } = "rms_norm_eps";

    /// <summary>The norms' epsilon.</summary>
    public float Epsilon { get; init; } = 1e-6f;

    /// <summary>Whether the head is the embedding.</summary>
    public bool Tied { get; init; }

    /// <summary>The rotation; null where a family has none.</summary>
    public RopeRule? Rope { get; init; } = new();

    /// <summary>Elements of a head; null for width by heads.</summary>
    public int? HeadSize { get; init; }

    /// <summary>Query heads; null where they must be given.</summary>
    public int? Heads { get; init; }

    /// <summary>Key and value heads; null for as many as query heads.</summary>
    public int? KeyValueHeads { get; init; }

    /// <summary>Width of the MLP; null where it must be given.</summary>
    public int? Intermediate { get; init; }

    /// <summary>Key of it.</summary>
    public string? IntermediateKey { get; init; }

    /// <summary>The non-linearity.</summary>
    public string Activation { get; init; } = "silu";

    /// <summary>Key of it.</summary>
    public string? ActivationKey { get; init; }

    /// <summary>Blocks; null where they must be given.</summary>
    public int? Layers { get; init; }

    /// <summary>Rows of the embedding; null where they must be given.</summary>
    public int? Vocabulary { get; init; }

    /// <summary>Longest sequence.</summary>
    public int Positions { get; init; } = 2048;
}
