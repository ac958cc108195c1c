using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>Grids that have a name, which decides width, groups and symmetry: those with float minima, of two levels, and of floats.</summary>
public static class NamedGrids
{
    /// <summary>The grid of a name such as <c>q4_k</c>, <c>mxfp4</c>, <c>q4_1</c> or <c>4:64:affine</c>, in any case; null when there is none.</summary>
    public static WeightGrid? Find(string name) => (WeightGrid?)TwoLevelGrid.Find(name) ?? (WeightGrid?)FloatGrid.Find(name) ?? AffineGrid.Find(name);

    /// <summary>The name of a grid; null for one without.</summary>
    public static string? NameOf(WeightGrid grid) => grid switch
    {
        TwoLevelGrid twoLevel => twoLevel.Name,
        FloatGrid floats => floats.Name,
        AffineGrid affine => affine.Name,
        _ => null,
    };

    /// <summary>All names, for messages.</summary>
    public static string Names => string.Join(", ", TwoLevelGrid.All.Select(grid => grid.Name.ToLowerInvariant()).Concat(FloatGrid.All.Select(grid => grid.Name)).Concat(AffineGrid.BlockNames).Append($"BITS:GROUP:{AffineGrid.Kind}"));

    /// <summary>How a grid of groups or whole rows says how many weights share a scale.</summary>
    public static (Granularity Granularity, int GroupSize) GroupsOf(WeightGrid grid) => grid switch
    {
        UniformGrid uniform => (uniform.Granularity, uniform.GroupSize),
        TwoLevelGrid twoLevel => (Granularity.Group, twoLevel.GroupSize),
        AffineGrid affine => (Granularity.Group, affine.GroupSize),
        FloatGrid { GroupSize: 0 } => (Granularity.Channel, 0),
        FloatGrid floats => (Granularity.Group, floats.GroupSize),
        _ => throw new ArgumentOutOfRangeException(nameof(grid), grid, "Unknown grid."),
    };
}
