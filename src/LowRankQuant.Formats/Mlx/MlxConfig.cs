using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.SmallFloats;

namespace LowRankQuant.Formats.Mlx;

/// <summary>The <c>quantization</c> object of MLX checkpoints: one layout, and layers that have another or none.</summary>
/// <remarks>Source: ml-explore/mlx-lm, utils.py (load_model).</remarks>
public sealed class MlxConfig
{
    /// <summary>Key in config.json; <c>quantization_config</c> repeats it.</summary>
    public const string Key = "quantization";

    private readonly Dictionary<string, MlxLayout?> _layers;
    private readonly MlxLayout _layout;

    private MlxConfig(MlxLayout layout, Dictionary<string, MlxLayout?> layers)
    {
        _layout = layout;
        _layers = layers;
    }

    /// <summary>The layout of a layer; null when the configuration leaves it dense.</summary>
    /// <param name="names">What the configuration may call it.</param>
    public MlxLayout? For(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (_layers.TryGetValue(name, out MlxLayout? own)) return own;
        }
        return _layout;
    }

    /// <summary>Reads a configuration.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from, for messages.</param>
    /// <exception cref="CheckpointFormatException">A value breaks the rules (<c>config-schema</c>) or asks for what is not read (<c>unsupported-...</c>).</exception>
    public static MlxConfig Parse(JsonElement config, string file)
    {
        ConfigFields fields = ConfigFields.Of(config, file, Key);
        MlxLayout layout = Layout(fields);
        var layers = new Dictionary<string, MlxLayout?>(StringComparer.Ordinal);
        foreach (JsonProperty layer in fields.All)
        {
            if (layer.Value.ValueKind == JsonValueKind.False) layers[layer.Name] = null;
            else if (layer.Value.ValueKind == JsonValueKind.Object) layers[layer.Name] = Layout(ConfigFields.Of(layer.Value, file, $"{Key}.{layer.Name}"));
        }
        return new MlxConfig(layout, layers);
    }

    /// <summary>The configuration of a checkpoint.</summary>
    /// <param name="common">Layout of the layers that are not named.</param>
    /// <param name="others">Layers with another layout.</param>
    /// <param name="dense">Layers that stay floats.</param>
    public static JsonObject Build(MlxLayout common, IEnumerable<KeyValuePair<string, MlxLayout>> others, IEnumerable<string> dense)
    {
        JsonObject config = Fields(common);
        foreach ((string module, MlxLayout layout) in others) config[module] = Fields(layout);
        foreach (string module in dense) config[module] = false;
        return config;
    }

    private static JsonObject Fields(MlxLayout layout) => new() { ["group_size"] = layout.GroupSize, ["bits"] = layout.Bits };

    private static MlxLayout Layout(ConfigFields fields)
    {
        MicroFormat? floats = null;
        if (fields.Text("mode") is { } mode and not "affine")
        {
            floats = MicroFormat.Find(mode) ?? throw fields.Bad(
                "mode", $"'{mode}'; affine, {string.Join(", ", MicroFormat.All.Select(format => format.Name))} are read.", "unsupported-weights");
        }
        int bits = fields.Required("bits"), group = fields.Required("group_size");
        if (!MlxLayout.Widths.Contains(bits)) throw fields.Bad("bits", $"{bits} bits; MLX has 1, 2, 3, 4, 5, 6 and 8.", "unsupported-bits");
        if (floats is not null)
        {
            return (bits, group) == (floats.CodeBits, floats.GroupSize)
                ? new MlxLayout(bits, group) { Floats = floats }
                : throw fields.Bad("mode", $"'{floats.Name}' has {floats.CodeBits} bits in groups of {floats.GroupSize}; bits is {bits} and group_size {group}.");
        }
        return group > 0 ? new MlxLayout(bits, group) : throw fields.Bad("group_size", $"is {group}; it must be positive.");
    }
}
