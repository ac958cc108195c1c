using System.Globalization;
using System.Text.Json;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>
/// The <c>quantization_config</c> of a compressed-tensors checkpoint: which scheme applies to which module, and what a reader must know besides.
/// </summary>
/// <remarks>Source: vllm-project/compressed-tensors, quantization/quant_config.py, quant_scheme.py, quant_args.py.</remarks>
public sealed class CompressedTensorsConfig
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string QuantMethod = "compressed-tensors";

    private readonly List<TargetMatcher> _targets = [];
    private readonly TargetMatcher _ignore;

    internal CompressedTensorsConfig(
        string location,
        string? format,
        string? version,
        IReadOnlyList<QuantizationScheme> schemes,
        IReadOnlyList<string> ignore,
        QuantizationArgs? kvCache)
    {
        Location = location;
        Format = format;
        Version = version;
        Schemes = schemes;
        Ignore = ignore;
        KvCacheScheme = kvCache;
        foreach (QuantizationScheme scheme in schemes) _targets.Add(new TargetMatcher(location, scheme.Name, scheme.Targets));
        _ignore = new TargetMatcher(location, "ignore", ignore);
    }

    /// <summary>File the configuration was read from, for messages.</summary>
    public string Location { get; }

    /// <summary>The model's <c>format</c>, such as <c>pack-quantized</c> or <c>mixed-precision</c>; null when absent.</summary>
    public string? Format { get; }

    /// <summary>Release of compressed-tensors that wrote the model; null when absent.</summary>
    public string? Version { get; }

    /// <summary>The groups, in file order.</summary>
    public IReadOnlyList<QuantizationScheme> Schemes { get; }

    /// <summary>Modules that stay dense: names, classes or <c>re:</c> patterns.</summary>
    public IReadOnlyList<string> Ignore { get; }

    /// <summary>Key and value cache quantization, or null. A caller without it must refuse it by name.</summary>
    public QuantizationArgs? KvCacheScheme { get; }

    /// <summary>
    /// Whether 3, 5, 6 and 7-bit codes are padded to whole words where the packed width leaves it open: releases before 0.18 did that.
    /// </summary>
    public bool PacksPadded
    {
        get
        {
            string[] parts = (Version ?? "").Split('.');
            return parts.Length >= 2
                && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
                && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor)
                && major == 0 && minor < 18;
        }
    }

    /// <summary>Reads <c>config.json</c> of a model folder.</summary>
    /// <param name="configPath">Path of the file.</param>
    /// <returns>The configuration, or null when the model has no <c>quantization_config</c>.</returns>
    /// <exception cref="CheckpointFormatException">Not JSON, another quantization method, or a configuration that breaks the rules.</exception>
    /// <exception cref="IOException">The file is missing or cannot be read.</exception>
    public static CompressedTensorsConfig? Load(string configPath)
    {
        using JsonDocument document = JsonFile.Parse(configPath, kind: "config-json");
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new CheckpointFormatException("config-json", configPath, null, $"the top level is {JsonFile.Name(document.RootElement.ValueKind)}; it must be an object.");
        foreach (string key in new[] { "quantization_config", "compression_config" })
        {
            if (document.RootElement.TryGetProperty(key, out JsonElement config) && config.ValueKind != JsonValueKind.Null) return Parse(config, configPath);
        }
        return null;
    }

    /// <summary>Reads a <c>quantization_config</c> object.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from, for messages.</param>
    /// <exception cref="CheckpointFormatException">Another quantization method (<c>quant-method</c>), or a value that breaks the rules
    /// (<c>config-schema</c>, ...).</exception>
    public static CompressedTensorsConfig Parse(JsonElement config, string file) => new ConfigParser(file).Parse(config);

    /// <summary>The scheme of a module: none when it is ignored or no target names it. A full name wins over a pattern, a pattern over a
    /// class.</summary>
    /// <param name="module">Full module name, such as <c>model.layers.0.mlp.up_proj</c>.</param>
    /// <param name="moduleClass">Class of the module.</param>
    /// <returns>The scheme, or null when the module is dense.</returns>
    /// <exception cref="CheckpointFormatException">A pattern of the file takes too long (<c>config-pattern</c>).</exception>
    public QuantizationScheme? SchemeFor(string module, string moduleClass = "Linear")
    {
        if (_ignore.MatchesName(module) || _ignore.MatchesClass(moduleClass) || _ignore.MatchesPattern(module)) return null;
        for (int i = 0; i < _targets.Count; i++) if (_targets[i].MatchesName(module)) return Schemes[i];
        for (int i = 0; i < _targets.Count; i++) if (_targets[i].MatchesPattern(module)) return Schemes[i];
        for (int i = 0; i < _targets.Count; i++) if (_targets[i].MatchesClass(moduleClass)) return Schemes[i];
        return null;
    }
}
