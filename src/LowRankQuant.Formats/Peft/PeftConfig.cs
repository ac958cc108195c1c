using System.Text.Json;

namespace LowRankQuant.Formats.Peft;

/// <summary>
/// What an adapter_config.json says about ranks and factors: W' = W + f B A with f = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA, r and
/// alpha after the patterns. The first pattern key (in order of the file) with <c>^(.*\.)?(key)$</c> matching the module gives the value.
/// </summary>
internal sealed class PeftConfig
{
    // Beyond any real configuration; keeps a hostile file from being read whole.
    private const long LargestFile = 16 << 20;
    private readonly string _file;
    private readonly JsonElement _json;
    private readonly Dictionary<string, List<(PeftPattern Pattern, JsonProperty Entry)>> _patterns = new(StringComparer.Ordinal);

    private PeftConfig(string file, JsonElement json)
    {
        _file = file;
        _json = json;
    }

    /// <summary>Bits of an element of a factor where the writer said so; else null.</summary>
    public int? FactorBits => _json.TryGetProperty(PeftAdapterWriter.FactorBitsKey, out JsonElement bits) && bits.TryGetInt32(out int value) && value is >= 2 and <= 32
        ? value : null;

    /// <summary>Reads and checks a configuration.</summary>
    /// <exception cref="CheckpointFormatException">It is absent, unsound, or asks for something that W + f B A is not.</exception>
    public static PeftConfig Read(string file)
    {
        var info = new FileInfo(file);
        if (!info.Exists) throw new CheckpointFormatException("missing-config", file, null, "an adapter folder holds this file beside its tensors.");
        if (info.Length > LargestFile) throw new CheckpointFormatException("config-size", file, null, $"{info.Length} bytes; a configuration has at most {LargestFile}.");
        JsonElement json;
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file), new JsonDocumentOptions { MaxDepth = 32 });
            json = document.RootElement.Clone();
        }
        catch (JsonException bad)
        {
            throw new CheckpointFormatException("config-json", file, null, $"not valid JSON: {bad.Message}");
        }
        var config = new PeftConfig(file, json.ValueKind == JsonValueKind.Object ? json : throw new CheckpointFormatException("config-json", file, null, "the top level must be an object."));
        config.Check();
        return config;
    }

    /// <summary>Rank and factor of a module.</summary>
    /// <exception cref="CheckpointFormatException">A value or pattern is unsound.</exception>
    public (int Rank, double Factor) For(string module)
    {
        int rank = (int)Value("rank_pattern", module, "r");
        double scale = Value("alpha_pattern", module, "lora_alpha");
        if (rank < 1) throw Bad("r", $"rank {rank} of '{module}'; a rank is at least 1.");
        if (!double.IsFinite(scale)) throw Bad("lora_alpha", $"alpha {scale} of '{module}'; it must be finite.");
        return (rank, scale / (Flag("use_rslora") ? Math.Sqrt(rank) : rank));
    }

    private double Value(string patterns, string module, string fallback)
    {
        foreach ((PeftPattern pattern, JsonProperty entry) in Patterns(patterns))
        {
            if (!pattern.Matches(module)) continue;
            return entry.Value.TryGetDouble(out double value) ? value : throw Bad(patterns, $"'{entry.Name}' has no number.");
        }
        return _json.TryGetProperty(fallback, out JsonElement number) && number.ValueKind == JsonValueKind.Number
            ? number.GetDouble() : throw Bad(fallback, "a number is needed.");
    }

    private List<(PeftPattern Pattern, JsonProperty Entry)> Patterns(string table)
    {
        if (_patterns.TryGetValue(table, out List<(PeftPattern, JsonProperty)>? known)) return known;
        var patterns = new List<(PeftPattern, JsonProperty)>();
        if (_json.TryGetProperty(table, out JsonElement entries) && entries.ValueKind == JsonValueKind.Object)
            patterns.AddRange(entries.EnumerateObject().Select(entry => (new PeftPattern(_file, table, entry.Name), entry)));
        _patterns.Add(table, patterns);
        return patterns;
    }

    private void Check()
    {
        string? type = _json.TryGetProperty("peft_type", out JsonElement kind) && kind.ValueKind == JsonValueKind.String ? kind.GetString() : null;
        if (type != "LORA") throw Bad("peft_type", $"'{type}' is not read; LORA is.");
        if (Flag("use_dora")) throw Bad("use_dora", "DoRA is no sum of a weight and a branch; it is not read.");
        if (Flag("fan_in_fan_out")) throw Bad("fan_in_fan_out", "transposed weights are not read.");
        if (_json.TryGetProperty("bias", out JsonElement bias) && bias.ValueKind == JsonValueKind.String && bias.GetString() != "none")
            throw Bad("bias", $"'{bias.GetString()}': trained biases are not read.");
        if (_json.TryGetProperty("modules_to_save", out JsonElement saved) && saved.ValueKind == JsonValueKind.Array && saved.GetArrayLength() > 0)
            throw Bad("modules_to_save", "whole modules in an adapter are not read.");
    }

    private bool Flag(string name) => _json.TryGetProperty(name, out JsonElement flag) && flag.ValueKind == JsonValueKind.True;

    private CheckpointFormatException Bad(string key, string message) => new("config-schema", _file, key, message);
}
