using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>How choices about grids are spelled.</summary>
public static class GridNames
{
    /// <summary>Ways to find the first grid.</summary>
    public static IReadOnlyList<KeyValuePair<string, GridStart>> Starts { get; } = [new("minmax", GridStart.MinMax), new("search", GridStart.Search)];

    /// <summary>Stored types of scales.</summary>
    public static IReadOnlyList<KeyValuePair<string, ScaleType>> ScaleTypes { get; } =
        [new("fp16", ScaleType.Float16), new("bf16", ScaleType.BFloat16), new("fp32", ScaleType.Float32)];

    /// <summary>Ways to store where the value 0 lies.</summary>
    public static IReadOnlyList<KeyValuePair<string, ZeroKind>> Zeros { get; } = [new("integer", ZeroKind.Integer), new("float", ZeroKind.Float)];

    /// <summary>A way to find the first grid, for people.</summary>
    public static string Describe(GridStart start) => start == GridStart.MinMax ? "scales from the smallest and largest weight" : "scales searched for the least error";
}
