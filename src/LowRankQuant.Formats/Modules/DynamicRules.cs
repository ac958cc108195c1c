using System.Text.Json;

namespace LowRankQuant.Formats.Modules;

/// <summary>
/// The <c>dynamic</c> object of gptqmodel's configurations: a pattern and an object with what the modules that it matches have of their own.
/// <code>
/// "dynamic": { "-:.*\\.down_proj": {}, "+:model\\.layers\\.0\\.": { "bits": 8, "group_size": 64 } }
/// </code>
/// A name that begins with <c>-:</c> leaves modules dense, one with <c>+:</c> or neither gives them a layout. Patterns match from the start of a name
/// and need not reach its end; the first that matches counts, in the order of the file.
/// </summary>
/// <remarks>Source: ModelCloud/GPTQModel, quantization/config.py (dynamic_get).</remarks>
internal static class DynamicRules
{
    /// <summary>Kind of the error for a rule that asks for what is not read.</summary>
    public const string Unsupported = "unsupported-dynamic";

    private const string Key = "dynamic", Skip = "-:", Override = "+:";

    // What a rule may set that shows in the layout, and what mattered when codes were chosen and does not any more.
    private static readonly string[] Known =
    [
        "bits", "group_size", "sym",
        "desc_act", "static_groups", "act_group_aware", "damp_percent", "damp_auto_increment", "mse", "hyb_act",
    ];

    /// <summary>Reads the rules.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="common">Layout of the modules that no rule names.</param>
    /// <param name="layout">From the fields of a rule to a layout.</param>
    /// <exception cref="CheckpointFormatException">A rule is unsound (<c>config-schema</c>, <c>config-pattern</c>) or not understood.</exception>
    public static ModuleLayouts<T> Parse<T>(ConfigFields config, T common, Func<ConfigFields, T> layout)
        where T : class
    {
        if (config.Any(Key) is not { } dynamic) return new ModuleLayouts<T>(common);
        if (dynamic.ValueKind != JsonValueKind.Object) throw config.Bad(Key, $"is {JsonFile.Name(dynamic.ValueKind)}; it must be an object.");
        var rules = new List<(Func<string, bool>, T?)>();
        foreach (JsonProperty rule in dynamic.EnumerateObject())
        {
            bool skips = rule.Name.StartsWith(Skip, StringComparison.Ordinal);
            string pattern = skips || rule.Name.StartsWith(Override, StringComparison.Ordinal) ? rule.Name[Skip.Length..] : rule.Name;
            var names = new NamePattern(config.File, $"{config.Path}.{Key}", pattern, fromStart: true, rule.Name);
            if (skips)
            {
                rules.Add((names.Matches, null));
                continue;
            }
            ConfigFields fields = ConfigFields.Of(rule.Value, config.File, $"{config.Path}.{Key}.{rule.Name}");
            fields.RefuseOthers(Known, Unsupported);
            rules.Add((names.Matches, layout(fields)));
        }
        return new ModuleLayouts<T>(common, rules);
    }
}
