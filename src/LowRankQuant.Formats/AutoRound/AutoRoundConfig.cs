using System.Text.Json;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Gptq;

namespace LowRankQuant.Formats.AutoRound;

/// <summary>
/// The <c>quantization_config</c> of AutoRound checkpoints: <c>packing_format</c> says whose layout the tensors have. Exactly one of the two layouts
/// is set.
/// </summary>
/// <param name="Gptq">GPTQ's layout without g_idx, or null.</param>
/// <param name="Awq">AWQ's layout, or null.</param>
/// <remarks>Source: intel/auto-round, export/; golden/autoround. Scales of symmetric exports may be negative.</remarks>
public sealed record AutoRoundConfig(GptqLayout? Gptq, AwqLayout? Awq)
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string QuantMethod = "auto-round";

    private const int FullPrecisionBits = 16;

    /// <summary>Reads a configuration.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from, for messages.</param>
    /// <exception cref="CheckpointFormatException">A value breaks the rules (<c>config-schema</c>) or asks for what is not read (<c>unsupported-...</c>).</exception>
    public static AutoRoundConfig Parse(JsonElement config, string file)
    {
        ConfigFields fields = ConfigFields.Of(config, file, "quantization_config");
        int bits = fields.Required("bits"), group = fields.GroupSize("group_size");
        bool symmetric = fields.Boolean("sym") ?? true;
        if (fields.Text("data_type") is { } type and not "int") throw fields.Bad("data_type", $"'{type}'; int is read.", "unsupported-weights");
        if (fields.Integer("act_bits") is { } activations and < FullPrecisionBits)
            throw fields.Bad("act_bits", $"{activations}-bit activations are not read.", "unsupported-weights");
        RefuseOverrides(fields);
        string packing = fields.Text("packing_format") ?? "auto_round:auto_gptq";
        if (packing == "auto_round:auto_awq")
        {
            if (bits != AwqLayout.Bits) throw fields.Bad("bits", $"{bits} bits; AWQ's layout has 4.", "unsupported-bits");
            return new AutoRoundConfig(null, new AwqLayout(group));
        }
        if (!GptqLayout.Widths.Contains(bits)) throw fields.Bad("bits", $"{bits} bits; 2, 3, 4 and 8 are read.", "unsupported-bits");
        GptqZeroPoints zeros = packing switch
        {
            "auto_round:auto_gptq" => GptqZeroPoints.MinusOne,
            "auto_round" => GptqZeroPoints.AsTheyAre,
            _ => throw fields.Bad("packing_format", $"'{packing}'; auto_round, auto_round:auto_gptq and auto_round:auto_awq are read.", "unsupported-format"),
        };
        return new AutoRoundConfig(new GptqLayout(bits, group, symmetric, zeros), null);
    }

    // Layers left in full precision show by their tensors; others would have a layout of their own.
    private static void RefuseOverrides(ConfigFields fields)
    {
        if (fields.Any("extra_config") is not { ValueKind: JsonValueKind.Object } extra) return;
        foreach (JsonProperty module in extra.EnumerateObject())
        {
            bool dense = module.Value.ValueKind == JsonValueKind.Object && module.Value.TryGetProperty("bits", out JsonElement bits)
                && bits.TryGetInt32(out int width) && width >= FullPrecisionBits;
            if (!dense) throw fields.Bad("extra_config", $"'{module.Name}' has a layout of its own, which is not read.", "unsupported-dynamic");
        }
    }
}
