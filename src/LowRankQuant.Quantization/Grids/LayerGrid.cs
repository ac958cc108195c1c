using System.Text.Json.Serialization;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Grids;

/// <summary>A grid as a recipe spells it.</summary>
/// <param name="Bits">Code width.</param>
/// <param name="Granularity">Weights per scale.</param>
/// <param name="GroupSize">Inputs per group; 0 unless the granularity is group.</param>
/// <param name="Symmetric">Symmetric grid.</param>
/// <param name="TwoLevelGrid">Name of the two-level grid, which the others then repeat; null for a uniform grid.</param>
/// <param name="ScaleDigits">Significant bits of a stored scale; null for all that its type has.</param>
public sealed record LayerGrid(
    int Bits,
    Granularity Granularity,
    int GroupSize,
    bool Symmetric,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TwoLevelGrid,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? ScaleDigits)
{
    /// <summary>The spelling of a grid.</summary>
    public static LayerGrid Of(WeightGrid grid, int? scaleDigits) => grid switch
    {
        TwoLevelGrid native => new(native.Bits, Granularity.Group, native.GroupSize, native.Symmetric, native.Name, scaleDigits),
        UniformGrid uniform => new(uniform.Bits, uniform.Granularity, uniform.GroupSize, uniform.Symmetric, null, scaleDigits),
        _ => throw new ArgumentOutOfRangeException(nameof(grid), grid, "Unknown grid."),
    };

    /// <summary>The grid.</summary>
    /// <exception cref="RecipeException">There is no two-level grid of the name.</exception>
    public WeightGrid ToGrid() => TwoLevelGrid is null
        ? new UniformGrid(Bits, Symmetric, Granularity, GroupSize)
        : Numerics.Quantized.TwoLevelGrid.Find(TwoLevelGrid) ?? throw new RecipeException([$"There is no two-level grid {TwoLevelGrid}."]);
}
