using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Modules;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gptq;

/// <summary>The <c>quantization_config</c> of GPTQ checkpoints (also <c>quantize_config.json</c>).</summary>
/// <remarks>Source: ModelCloud/GPTQModel, quantization/config.py.</remarks>
public static class GptqConfig
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string QuantMethod = "gptq";

    /// <summary>Values of <c>checkpoint_format</c>: v1 stores zero points less one, v2 as they are.</summary>
    public const string V1 = "gptq", V2 = "gptq_v2";

    /// <summary>Our name in <c>meta.quantizer</c>.</summary>
    public const string Quantizer = "lowrankquant";

    // Before this release gptqmodel interchanged the words of 3-bit v1 zero points (golden/gptq/README.md).
    private const int FirstSoundThreeBitRelease = 7;

    /// <summary>Reads a configuration.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from, for messages.</param>
    /// <returns>The layouts of the modules, by the rules of <c>dynamic</c>.</returns>
    /// <exception cref="CheckpointFormatException">A value breaks the rules (<c>config-schema</c>) or asks for what is not read (<c>unsupported-...</c>).</exception>
    public static ModuleLayouts<GptqLayout> Parse(JsonElement config, string file)
    {
        ConfigFields fields = ConfigFields.Of(config, file, "quantization_config");
        if (fields.Text("pack_dtype") is { } pack and not "int32") throw fields.Bad("pack_dtype", $"'{pack}'; int32 is read.", "unsupported-format");
        string key = fields.Any("checkpoint_format") is null ? "format" : "checkpoint_format", format = fields.Text(key)?.ToLowerInvariant() ?? V1;
        if (format is not (V1 or V2)) throw fields.Bad(key, $"'{format}'; {V1} and {V2} are read.", "unsupported-format");
        GptqLayout common = Layout(fields, fields.Required("bits"), fields.GroupSize("group_size"), fields.Boolean("sym") ?? true);
        return DynamicRules.Parse(fields, common, rule => Layout(
            rule, rule.Integer("bits") ?? common.Bits, rule.GroupSize("group_size", common.GroupSize), rule.Boolean("sym") ?? common.Symmetric));

        GptqLayout Layout(ConfigFields at, int bits, int groupSize, bool symmetric)
        {
            if (!GptqLayout.Widths.Contains(bits)) throw at.Bad("bits", $"{bits} bits; 2, 3, 4 and 8 are read.", "unsupported-bits");
            return new GptqLayout(bits, groupSize, symmetric, format == V2 ? GptqZeroPoints.AsTheyAre : FirstVersion(fields, bits));
        }
    }

    /// <summary>The configuration of a checkpoint on one grid.</summary>
    /// <param name="grid">Grid of all linears.</param>
    /// <param name="zeros">Form of the zero points.</param>
    /// <param name="actOrder">Whether groups follow an activation order.</param>
    /// <param name="head">Whether lm_head is quantized too.</param>
    /// <param name="version">Our version, for <c>meta</c>.</param>
    public static JsonObject Build(UniformGrid grid, GptqZeroPoints zeros, bool actOrder, bool head, string version)
    {
        string format = zeros == GptqZeroPoints.AsTheyAre ? V2 : V1;
        return new JsonObject
        {
            ["bits"] = grid.Bits,
            ["group_size"] = grid.Granularity == Granularity.Group ? grid.GroupSize : -1,
            ["desc_act"] = actOrder,
            ["sym"] = grid.Symmetric,
            ["lm_head"] = head,
            ["quant_method"] = QuantMethod,
            ["method"] = QuantMethod,
            ["checkpoint_format"] = format,
            ["format"] = format,
            ["pack_dtype"] = "int32",
            ["meta"] = new JsonObject { ["quantizer"] = new JsonArray($"{Quantizer}:{version}") },
        };
    }

    private static GptqZeroPoints FirstVersion(ConfigFields fields, int bits)
    {
        int? release = GptqModelRelease(fields);
        if (bits == 3 && release < FirstSoundThreeBitRelease)
        {
            throw fields.Bad(
                "checkpoint_format", $"3-bit v1 zero points of gptqmodel {release} are in a dialect of its own; save it again as {V2}.", "unsupported-format");
        }
        return release is null ? GptqZeroPoints.MinusOne : GptqZeroPoints.MinusOneByGptqModel;
    }

    // meta.quantizer is "gptqmodel:7.7.0", or a list of such.
    private static int? GptqModelRelease(ConfigFields fields)
    {
        if (fields.Any("meta") is not { ValueKind: JsonValueKind.Object } meta || !meta.TryGetProperty("quantizer", out JsonElement quantizer)) return null;
        JsonElement[] names = quantizer.ValueKind == JsonValueKind.Array ? [.. quantizer.EnumerateArray()] : [quantizer];
        foreach (JsonElement name in names)
        {
            if (name.ValueKind != JsonValueKind.String || !name.GetString()!.StartsWith("gptqmodel:", StringComparison.Ordinal)) continue;
            string number = name.GetString()!["gptqmodel:".Length..].Split('.')[0];
            return int.TryParse(number, System.Globalization.CultureInfo.InvariantCulture, out int release) ? release : 0;
        }
        return null;
    }
}
