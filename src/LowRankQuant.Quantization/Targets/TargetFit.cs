using System.Globalization;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Targets;

/// <summary>How a target holds the weights of one layer on a grid, or why it does not.</summary>
public sealed record TargetFit
{
    /// <summary>Why the target cannot hold the layer, as the end of a sentence; null when it can.</summary>
    public string? Misfit { get; init; }

    /// <summary>The nearest grid that fits; null when the layer fits, or when no grid does.</summary>
    public WeightGrid? Nearest { get; init; }

    /// <summary>Bits per weight in the target's file, of the grid or of the nearest one.</summary>
    public double BitsPerWeight { get; init; }

    /// <summary>What holds the weights, such as <c>Q4_K</c>.</summary>
    public string Container { get; init; } = "";

    /// <summary>Significant bits that a stored scale may have; null for all that its type has.</summary>
    public int? ScaleDigits { get; init; }

    /// <summary>What the user should know though the layer fits; null for nothing.</summary>
    public string? Note { get; init; }

    /// <summary>Looks at one whole layer, apart from those it may be fused with.</summary>
    /// <param name="target">Whose rules.</param>
    /// <param name="name">Name of the layer within its block.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="scaleType">Stored type of its scales.</param>
    public static TargetFit Of(Target target, string name, int outFeatures, int inFeatures, WeightGrid grid, ScaleType scaleType) =>
        TargetRules.Fit(target, new TargetLayer(name, outFeatures, inFeatures, grid, scaleType));

    /// <summary>The nearest grid with its cost, for messages; what to do when there is none.</summary>
    public string Remedy => Nearest is null
        ? "no grid fits"
        : string.Create(CultureInfo.InvariantCulture, $"the nearest that fits is {Nearest} ({Container}, {BitsPerWeight:0.###} bits per weight)");
}
