using System.Text.Json.Serialization;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Grids;

/// <summary>A grid as a recipe spells it.</summary>
/// <param name="Bits">Code width.</param>
/// <param name="Granularity">Weights per scale.</param>
/// <param name="GroupSize">Inputs per group; 0 unless the granularity is group.</param>
/// <param name="Symmetric">Symmetric grid.</param>
/// <param name="Name">Name of a two-level or float grid, or the spelling of one with float minima, which the others then repeat; null for a uniform grid.</param>
/// <param name="ScaleDigits">Significant bits of a stored scale; null for all that its type has.</param>
public sealed record LayerGrid(
    int Bits,
    Granularity Granularity,
    int GroupSize,
    bool Symmetric,
    [property: JsonPropertyName("twoLevelGrid")]
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Name,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? ScaleDigits)
{
    /// <summary>The spelling of a grid.</summary>
    public static LayerGrid Of(WeightGrid grid, int? scaleDigits)
    {
        (Granularity granularity, int groupSize) = NamedGrids.GroupsOf(grid);
        return new LayerGrid(grid.Bits, granularity, groupSize, grid.Symmetric, NamedGrids.NameOf(grid), scaleDigits);
    }

    /// <summary>The grid.</summary>
    /// <exception cref="RecipeException">There is no grid of the name.</exception>
    public WeightGrid ToGrid() => Name is null
        ? new UniformGrid(Bits, Symmetric, Granularity, GroupSize)
        : NamedGrids.Find(Name) ?? throw new RecipeException([$"There is no grid {Name}."]);
}
