using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Affine;

/// <summary>
/// The <c>quantization_config</c> of a model with weights on affine grids. Only lrq reads it: other loaders refuse the unknown method instead of loading
/// nonsense.
/// <code>
/// { "quant_method": "lrq-affine", "version": 1, "grids": [{ "bits": 4, "group_size": 64, "modules": [names] }],
///   "others": { the configuration of the modules on other grids } or null }
/// </code>
/// </summary>
public sealed class AffineConfig
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string QuantMethod = "lrq-affine";

    private const string Key = "quantization_config", VersionKey = "version", GridsKey = "grids", BitsKey = "bits", GroupKey = "group_size", ModulesKey = "modules", OthersKey = "others";
    private const int Version = 1;

    private AffineConfig(Dictionary<string, AffineGrid> grids, JsonElement? others) => (Grids, Others) = (grids, others);

    /// <summary>The grid of every module.</summary>
    public IReadOnlyDictionary<string, AffineGrid> Grids { get; }

    /// <summary>The configuration of the modules on other grids; null for none.</summary>
    public JsonElement? Others { get; }

    /// <summary>Builds it.</summary>
    /// <param name="modules">Modules on affine grids, in model order.</param>
    /// <param name="others">The configuration of those on other grids; null for none.</param>
    public static JsonObject Build(IReadOnlyList<(string Module, AffineGrid Grid)> modules, JsonObject? others)
    {
        var grids = new JsonArray();
        foreach (IGrouping<AffineGrid, string> same in modules.GroupBy(module => module.Grid, module => module.Module))
        {
            grids.Add((JsonNode)new JsonObject
            {
                [BitsKey] = same.Key.Bits,
                [GroupKey] = same.Key.GroupSize,
                [ModulesKey] = new JsonArray([.. same.Select(module => JsonValue.Create(module))]),
            });
        }
        return new JsonObject { ["quant_method"] = QuantMethod, [VersionKey] = Version, [GridsKey] = grids, [OthersKey] = others };
    }

    /// <summary>Reads a configuration.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from, for messages.</param>
    /// <exception cref="CheckpointFormatException">A value breaks the rules (<c>config-schema</c>) or asks for what is not read (<c>unsupported-...</c>).</exception>
    public static AffineConfig Parse(JsonElement config, string file)
    {
        ConfigFields fields = ConfigFields.Of(config, file, Key);
        if (fields.Required(VersionKey) is not Version and var version) throw fields.Bad(VersionKey, $"is {version}; {Version} is read.", "unsupported-version");
        if (fields.Any(GridsKey) is not { ValueKind: JsonValueKind.Array } list) throw fields.Bad(GridsKey, "must be an array of grids.");
        var grids = new Dictionary<string, AffineGrid>(StringComparer.Ordinal);
        foreach (JsonElement item in list.EnumerateArray())
        {
            ConfigFields own = ConfigFields.Of(item, file, $"{Key}.{GridsKey}");
            int bits = own.Required(BitsKey), group = own.Required(GroupKey);
            if (bits is < UniformGrid.MinBits or > UniformGrid.MaxBits) throw own.Bad(BitsKey, $"{bits} bits; {UniformGrid.MinBits} to {UniformGrid.MaxBits} are read.", "unsupported-bits");
            if (group < 1) throw own.Bad(GroupKey, $"is {group}; it must be positive.");
            if (own.Any(ModulesKey) is not { ValueKind: JsonValueKind.Array } modules) throw own.Bad(ModulesKey, "must be an array of names.");
            var grid = new AffineGrid(bits, group);
            foreach (JsonElement module in modules.EnumerateArray())
            {
                if (module.ValueKind != JsonValueKind.String) throw own.Bad(ModulesKey, "must be an array of names.");
                if (!grids.TryAdd(module.GetString()!, grid)) throw own.Bad(ModulesKey, $"'{module.GetString()}' is given twice.");
            }
        }
        return new AffineConfig(grids, fields.Any(OthersKey) switch
        {
            null => null,
            { ValueKind: JsonValueKind.Object } others => others,
            _ => throw fields.Bad(OthersKey, "must be an object or null."),
        });
    }
}
