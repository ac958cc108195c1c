using System.Buffers;
using System.Text.Json;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Modules;

namespace LowRankQuant.Formats.AutoRound;

/// <summary>
/// The <c>quantization_config</c> of AutoRound checkpoints: <c>packing_format</c> says whose layout the tensors have. Exactly one of the two layouts
/// is set.
/// </summary>
/// <param name="Gptq">GPTQ's layouts without g_idx, or null.</param>
/// <param name="Awq">AWQ's layouts, or null.</param>
/// <remarks>Source: intel/auto-round, export/; golden/autoround. Scales of symmetric exports may be negative.</remarks>
public sealed record AutoRoundConfig(ModuleLayouts<GptqLayout>? Gptq, ModuleLayouts<AwqLayout>? Awq)
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string QuantMethod = "auto-round";

    private const int FullPrecisionBits = 16;
    private const string Extra = "extra_config";

    // A name with one of these is a pattern, found anywhere in a module's name; others are names. Dots alone make no pattern.
    private static readonly SearchValues<char> PatternCharacters = SearchValues.Create(@"*+?^$()[]{}|\");

    // What a layer may have of its own: the layout, and quantizers of activations, which are refused below where they are on.
    private static readonly string[] Known =
        ["bits", "group_size", "sym", "data_type", "act_bits", "act_data_type", "act_group_size", "act_sym", "act_dynamic", "clip"];

    /// <summary>Reads a configuration.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from, for messages.</param>
    /// <exception cref="CheckpointFormatException">A value breaks the rules (<c>config-schema</c>) or asks for what is not read (<c>unsupported-...</c>).</exception>
    public static AutoRoundConfig Parse(JsonElement config, string file)
    {
        ConfigFields fields = ConfigFields.Of(config, file, "quantization_config");
        int bits = fields.Required("bits"), group = fields.GroupSize("group_size");
        bool symmetric = fields.Boolean("sym") ?? true;
        CheckTypes(fields);
        string layout = LayoutName(fields);
        if (layout is "auto_awq" or "awq")
        {
            return new AutoRoundConfig(null, WithExtra(fields, AwqLayoutOf(fields, bits, group), layer =>
                AwqLayoutOf(layer, layer.Integer("bits") ?? bits, layer.GroupSize("group_size", group))));
        }
        GptqZeroPoints zeros = layout switch
        {
            "auto_gptq" or "gptq" => GptqZeroPoints.MinusOne,
            "" or "gptqmodel" or "gptq_v2" => GptqZeroPoints.AsTheyAre,
            _ => throw fields.Bad(
                "packing_format", $"'{fields.Text("packing_format")}'; auto_round, auto_round:auto_gptq, auto_round:gptqmodel and auto_round:auto_awq are read.", "unsupported-format"),
        };
        return new AutoRoundConfig(WithExtra(fields, GptqLayoutOf(fields, bits, group, symmetric, zeros), layer => GptqLayoutOf(
            layer, layer.Integer("bits") ?? bits, layer.GroupSize("group_size", group), layer.Boolean("sym") ?? symmetric, zeros)), null);
    }

    // auto_round:auto_gptq, auto_round:gptq, auto_gptq. Older files name an engine instead (backend: autoround:exllamav2), and have GPTQ's layout or AWQ's.
    private static string LayoutName(ConfigFields fields)
    {
        if (fields.Text("packing_format") is not { } packing)
            return fields.Text("backend") is { } engine && engine.Contains("awq", StringComparison.OrdinalIgnoreCase) ? "auto_awq" : "auto_gptq";
        string[] parts = packing.ToLowerInvariant().Split(':', 2);
        bool own = parts[0] is "auto_round" or "auto-round" or "autoround";
        return !own ? parts[0] : parts.Length > 1 ? parts[1] : "";
    }

    private static AwqLayout AwqLayoutOf(ConfigFields fields, int bits, int groupSize) => bits == AwqLayout.Bits
        ? new AwqLayout(groupSize)
        : throw fields.Bad("bits", $"{bits} bits; AWQ's layout has 4.", "unsupported-bits");

    private static GptqLayout GptqLayoutOf(ConfigFields fields, int bits, int groupSize, bool symmetric, GptqZeroPoints zeros) => GptqLayout.Widths.Contains(bits)
        ? new GptqLayout(bits, groupSize, symmetric, zeros)
        : throw fields.Bad("bits", $"{bits} bits; 2, 3, 4 and 8 are read.", "unsupported-bits");

    private static void CheckTypes(ConfigFields fields)
    {
        if (fields.Text("data_type") is { } type and not "int") throw fields.Bad("data_type", $"'{type}'; int is read.", "unsupported-weights");
        if (fields.Integer("act_bits") is { } activations and < FullPrecisionBits)
            throw fields.Bad("act_bits", $"{activations}-bit activations are not read.", "unsupported-weights");
    }

    /// <summary>
    /// Layers of their own: <c>extra_config</c> has an object for each, by name or by pattern, with the keys that differ. 16 bits and more mean that a
    /// layer is dense. A layer's own name comes before patterns, and of those the first that is found in its name.
    /// </summary>
    /// <remarks>Source: intel/auto-round, export/export_to_autoround/export.py, inference/convert_model.py.</remarks>
    private static ModuleLayouts<T> WithExtra<T>(ConfigFields config, T common, Func<ConfigFields, T> layout)
        where T : class
    {
        if (config.Any(Extra) is not { } extra) return new ModuleLayouts<T>(common);
        if (extra.ValueKind != JsonValueKind.Object) throw config.Bad(Extra, $"is {JsonFile.Name(extra.ValueKind)}; it must be an object.");
        List<(Func<string, bool>, T?)> names = [], patterns = [];
        foreach (JsonProperty layer in extra.EnumerateObject())
        {
            ConfigFields fields = ConfigFields.Of(layer.Value, config.File, $"{config.Path}.{Extra}.{layer.Name}");
            bool dense = fields.Integer("bits") is >= FullPrecisionBits;
            if (!dense)
            {
                fields.RefuseOthers(Known, DynamicRules.Unsupported);
                CheckTypes(fields);
            }
            T? own = dense ? null : layout(fields);
            if (layer.Name.AsSpan().IndexOfAny(PatternCharacters) < 0) names.Add((name => name == layer.Name, own));
            else patterns.Add((new NamePattern(config.File, $"{config.Path}.{Extra}", layer.Name, fromStart: false, layer.Name).Matches, own));
        }
        return new ModuleLayouts<T>(common, [.. names, .. patterns]);
    }
}
