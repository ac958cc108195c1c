namespace LowRankQuant.Models.Decoder.Positions;

/// <summary>How the frequencies of a rotary embedding are scaled for longer contexts.</summary>
public enum RopeScaling
{
    /// <summary>Not scaled.</summary>
    None,

    /// <summary>All frequencies divided by the factor.</summary>
    Linear,

    /// <summary>The base grows with the length of the sequence (dynamic NTK).</summary>
    Dynamic,

    /// <summary>Llama 3.1: low frequencies divided, high ones kept, a ramp between.</summary>
    Llama3,

    /// <summary>YaRN: a ramp over dimensions and a temperature.</summary>
    Yarn,

    /// <summary>LongRoPE: every frequency divided by a number of its own, of one list for sequences within the original length and of another beyond it.</summary>
    LongRope,

    /// <summary>The first pairs of a head rotate, with the frequencies of the whole head, and the others stand still (Gemma 4).</summary>
    Proportional,

    /// <summary>Every frequency divided by a number of its own, which no parameters stand for.</summary>
    Table,
}

/// <summary>A rotary position embedding.</summary>
public sealed record RopeConfig
{
    /// <summary>Base of the frequencies: f_j = theta^(-2j/r).</summary>
    public required double Theta { get; init; }

    /// <summary>Rotated elements r of each head; the rest pass through.</summary>
    public required int RotatedSize { get; init; }

    /// <summary>Kind of scaling.</summary>
    public RopeScaling Scaling { get; init; }

    /// <summary>s of the scaling.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>Positions of the original training; 0 when not given.</summary>
    public int OriginalMaxPositions { get; init; }

    /// <summary>max_position_embeddings, which dynamic scaling refers to.</summary>
    public int MaxPositions { get; init; }

    /// <summary>Llama 3: wavelengths above original / this are divided.</summary>
    public double LowFrequencyFactor { get; init; } = 1;

    /// <summary>Llama 3: wavelengths below original / this are kept.</summary>
    public double HighFrequencyFactor { get; init; } = 4;

    /// <summary>YaRN: rotations at which interpolation ends.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>YaRN: rotations at which it begins.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>YaRN: whether the borders of the ramp are whole dimensions.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>YaRN: attention factor, when given.</summary>
    public double? AttentionFactor { get; init; }

    /// <summary>YaRN: mscale, when given.</summary>
    public double? MScale { get; init; }

    /// <summary>YaRN: mscale_all_dim, when given.</summary>
    public double? MScaleAllDim { get; init; }

    /// <summary>LongRoPE: divisors within the original length, RotatedSize / 2 numbers.</summary>
    public IReadOnlyList<float> ShortFactors { get; init; } = [];

    /// <summary>LongRoPE: divisors beyond it.</summary>
    public IReadOnlyList<float> LongFactors { get; init; } = [];

    /// <summary>LongRoPE: attention factor within the original length, when given.</summary>
    public double? ShortMScale { get; init; }

    /// <summary>LongRoPE: attention factor beyond it, when given.</summary>
    public double? LongMScale { get; init; }

    /// <summary>Proportional: pairs that rotate.</summary>
    public int RotatingPairs { get; init; }

    /// <summary>Table: what frequency j is divided by, RotatedSize / 2 numbers.</summary>
    public IReadOnlyList<float> Divisors { get; init; } = [];

    /// <summary>Pairs are (2j, 2j + 1); otherwise (j, j + r/2).</summary>
    public bool Interleaved { get; init; }
}
