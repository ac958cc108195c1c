using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>How <c>method flrq</c> treats a layer.</summary>
internal sealed record FlrqOptions
{
    /// <summary>How the rank is decided.</summary>
    public RankRule Rule { get; init; } = RankRule.R1Flr;

    /// <summary>The rank of <see cref="RankRule.Fixed"/>.</summary>
    public int Rank { get; init; }

    /// <summary>x: largest size of the branch, relative to the codes.</summary>
    public double ExtraSize { get; init; } = 0.2;

    /// <summary>it of R1-Sketch.</summary>
    public int PowerIterations { get; init; } = 2;

    /// <summary>How many terms a sketch finds at once.</summary>
    public SketchForm Sketch { get; init; }

    /// <summary>Exponent of the activation scale.</summary>
    public double ScalePower { get; init; } = 2.5;

    /// <summary>T of BLC.</summary>
    public int Epochs { get; init; }

    /// <summary>Whether residuals are clipped.</summary>
    public bool Clip { get; init; } = true;

    /// <summary>Whether the later epochs of BLC search all ranges, as the first does.</summary>
    public bool WideClip { get; init; }
}
