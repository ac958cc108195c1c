namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>What the factors of a site are made of.</summary>
public enum AwqScaling
{
    /// <summary>Magnitudes of inputs and of weights; the first candidate changes nothing, and the exponents of the others go from 0 to 1.</summary>
    Duo,

    /// <summary>Magnitudes of inputs alone; exponents go from 0 to 1.</summary>
    Single,

    /// <summary>Magnitudes of both, with AutoAWQ's exponents, which begin at 0 and end one step in front of 1.</summary>
    AutoAwq,
}

/// <summary>Which inputs are scaled.</summary>
public enum AwqSites
{
    /// <summary>All whose fold is exact.</summary>
    All,

    /// <summary>Those of AutoAWQ: all but output projections whose heads of values are shared by several query heads.</summary>
    Ungrouped,

    /// <summary>Those behind norms.</summary>
    Norms,
}

/// <summary>Choices of AWQ's scales.</summary>
internal sealed record AwqOptions
{
    /// <summary>What factors are made of.</summary>
    public AwqScaling Scaling { get; init; } = AwqScaling.Duo;

    /// <summary>Candidates that are tried at every site.</summary>
    public int Candidates { get; init; } = 20;

    /// <summary>Which inputs.</summary>
    public AwqSites Sites { get; init; } = AwqSites.All;
}
