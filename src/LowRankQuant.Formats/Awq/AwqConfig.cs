using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Modules;

namespace LowRankQuant.Formats.Awq;

/// <summary>The <c>quantization_config</c> of AWQ checkpoints in the GEMM layout.</summary>
/// <remarks>Source: casper-hansen/AutoAWQ, awq/models/_config.py.</remarks>
public static class AwqConfig
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string QuantMethod = "awq";

    private const string Gemm = "gemm";

    /// <summary>Reads a configuration.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from, for messages.</param>
    /// <returns>The layouts of the modules, by the rules of gptqmodel's <c>dynamic</c>; those of <c>modules_to_not_convert</c> show by their tensors.</returns>
    /// <exception cref="CheckpointFormatException">A value breaks the rules (<c>config-schema</c>) or asks for what is not read (<c>unsupported-...</c>).</exception>
    public static ModuleLayouts<AwqLayout> Parse(JsonElement config, string file)
    {
        ConfigFields fields = ConfigFields.Of(config, file, "quantization_config");
        CheckWidth(fields, fields.Required("bits"));
        foreach (string key in new[] { "version", "checkpoint_format", "format" })
        {
            if (fields.Text(key) is { } version && !version.Equals(Gemm, StringComparison.OrdinalIgnoreCase))
                throw fields.Bad(key, $"'{version}'; {Gemm} is read.", "unsupported-format");
        }
        if (fields.Boolean("zero_point") == false) throw fields.Bad("zero_point", "false; layouts with zero points are read.", "unsupported-format");
        var common = new AwqLayout(fields.GroupSize("group_size"));
        return DynamicRules.Parse(fields, common, rule =>
        {
            CheckWidth(rule, rule.Integer("bits") ?? AwqLayout.Bits);
            return new AwqLayout(rule.GroupSize("group_size", common.GroupSize));
        });
    }

    /// <summary>The configuration of a checkpoint.</summary>
    /// <param name="groupSize">Inputs per group.</param>
    public static JsonObject Build(int groupSize) => new()
    {
        ["quant_method"] = QuantMethod,
        ["bits"] = AwqLayout.Bits,
        ["group_size"] = groupSize,
        ["zero_point"] = true,
        ["version"] = Gemm,
        ["modules_to_not_convert"] = null,
    };

    private static void CheckWidth(ConfigFields fields, int bits)
    {
        if (bits != AwqLayout.Bits) throw fields.Bad("bits", $"{bits} bits; 4 are read (other widths have readers of their own only).", "unsupported-bits");
    }
}
