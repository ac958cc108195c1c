using System.Text.Json.Nodes;
using LowRankQuant.Formats.CompressedTensors;

namespace LowRankQuant.Formats.TwoLevel;

/// <summary>
/// The <c>quantization_config</c> of a model with weights on two-level grids. Only lrq reads it: other loaders refuse the unknown method instead of
/// loading nonsense.
/// <code>
/// { "quant_method": "lrq-two-level", "version": 1, "grids": { "Q3_K": [modules] }, "uniform": { a compressed-tensors configuration } or null }
/// </code>
/// </summary>
public static class TwoLevelConfig
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string QuantMethod = "lrq-two-level";

    /// <summary>Key of the configuration of the modules on uniform grids.</summary>
    public const string Uniform = "uniform";

    /// <summary>Builds it.</summary>
    /// <param name="twoLevel">Modules on two-level grids, with the grid's name, in model order.</param>
    /// <param name="uniform">Modules on uniform grids, in model order.</param>
    /// <param name="ignore">Dense linears, such as <c>lm_head</c>.</param>
    /// <param name="kvCache">Static quantization of keys and values, which stands in the configuration of the uniform modules, even where there are none; null for none.</param>
    public static JsonObject Build(
        IReadOnlyList<(string Module, string Grid)> twoLevel, IReadOnlyList<QuantizedModule> uniform, IReadOnlyList<string> ignore, QuantizationArgs? kvCache)
    {
        var grids = new JsonObject();
        foreach (IGrouping<string, string> grid in twoLevel.GroupBy(module => module.Grid, module => module.Module))
            grids[grid.Key] = new JsonArray([.. grid.Select(module => JsonValue.Create(module))]);
        return new JsonObject
        {
            ["quant_method"] = QuantMethod,
            ["version"] = 1,
            ["grids"] = grids,
            [Uniform] = uniform.Count == 0 && kvCache is null ? null : CompressedTensorsWriter.BuildConfig(uniform, [.. ignore, .. twoLevel.Select(module => module.Module)], kvCache: kvCache),
        };
    }
}
