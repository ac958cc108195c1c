namespace LowRankQuant.Quantization.Grids;

/// <summary>How a grid of groups stores where the value 0 lies among its codes.</summary>
public enum ZeroKind
{
    /// <summary>A zero point: one of the codes.</summary>
    Integer,

    /// <summary>A minimum: the value of code 0, a float of the type of the scales.</summary>
    Float,
}
