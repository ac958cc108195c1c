using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Gptq;

/// <summary>Choices of GPTQ that concern one layer.</summary>
internal sealed record GptqOptions
{
    /// <summary>Whether columns are rounded by falling second moment of their input; else as they stand.</summary>
    public bool ActOrder { get; init; }

    /// <summary>
    /// Whether the grids of all groups come from the weights as they are; else a group's grid comes from what its weights have become when its first column is reached. A grid for a
    /// whole row, and a two-level one, are the same either way.
    /// </summary>
    public bool StaticGroups { get; init; } = true;

    /// <summary>How the grid of a group is found.</summary>
    public GridStart Start { get; init; }

    /// <summary>alpha of GPTAQ: how much of what quantization did to the inputs the weights make good; 0 for plain GPTQ.</summary>
    public double Asymmetry { get; init; }
}
