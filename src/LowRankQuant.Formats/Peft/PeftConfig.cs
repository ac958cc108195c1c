using System.Text.Json;
using LowRankQuant.Formats.Modules;

namespace LowRankQuant.Formats.Peft;

/// <summary>
/// What an adapter_config.json says about ranks and factors: W' = W + f B A with f = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA, r and
/// alpha after the patterns. The first pattern key (in order of the file) with <c>^(.*\.)?(key)$</c> matching the module gives the value.
/// </summary>
internal sealed class PeftConfig
{
    // Beyond any real configuration; keeps a hostile file from being read whole.
    private const long LargestFile = 16 << 20;

    // Fields of LoraConfig (peft 0.21) under which an adapter is more than a sum of weights and branches.
    private static readonly (string Key, string Why)[] Foreign =
    [
        ("use_dora", "DoRA scales every row of weight and branch together"),
        ("use_qalora", "QALoRA pools the inputs of a branch"),
        ("use_bdlora", "its factors are block-diagonal"),
        ("lora_bias", "its branches have biases"),
        ("fan_in_fan_out", "its weights are transposed"),
        ("modules_to_save", "it holds whole modules that take the place of the model's"),
        ("trainable_token_indices", "it changes rows of the embedding"),
        ("target_parameters", "its branches lie on parameters without a module of their own"),
        ("layer_replication", "it belongs to a model whose layers are repeated"),
        ("alora_invocation_tokens", "it acts behind certain tokens only"),
        ("arrow_config", "it chooses among several adapters token by token"),
    ];

    // How a training began or ran; nothing of it is left in the weights.
    private static readonly string[] Harmless = ["use_rslora", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "megatron_config", "runtime_config"];
    private static readonly string[] Untouched = ["gaussian", "eva", "orthogonal", "true", "false", "True", "False"];
    private static readonly string[] Residual = ["pissa", "olora", "corda", "lora_ga"];
    private readonly string _file;
    private readonly JsonElement _json;
    private readonly Dictionary<string, NamePattern> _expressions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, HashSet<string>> _names = new(StringComparer.Ordinal);
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
        if (!File.Exists(file)) throw new CheckpointFormatException("missing-config", file, null, "an adapter folder holds this file beside its tensors.");
        long length = FileLength.Of(file);
        if (length > LargestFile) throw new CheckpointFormatException("config-size", file, null, $"{length} bytes; a configuration has at most {LargestFile}.");
        using JsonDocument document = JsonFile.Parse(file, LargestFile, kind: "config-json");
        JsonElement json = document.RootElement.Clone();
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

    /// <summary>Refuses a module that the configuration does not aim at: PEFT drops its tensors without a word.</summary>
    /// <exception cref="CheckpointFormatException">It is not among <c>target_modules</c>, or left out by another field.</exception>
    public void CheckTarget(string module)
    {
        if (!IsAimedAt("target_modules", module, otherwise: true)) throw Bad("target_modules", $"does not name '{module}', whose tensors the adapter holds; PEFT drops them.");
        if (IsAimedAt("exclude_modules", module, otherwise: false)) throw Bad("exclude_modules", $"names '{module}', whose tensors the adapter holds; PEFT drops them.");
        if (!_json.TryGetProperty("layers_to_transform", out JsonElement layers) || layers.ValueKind is not (JsonValueKind.Array or JsonValueKind.Number)) return;
        int[] numbers = [.. (layers.ValueKind == JsonValueKind.Number ? [layers] : layers.EnumerateArray().ToArray()).Select(Whole)];
        string? number = module.Split('.').FirstOrDefault(part => part.Length > 0 && part.All(char.IsAsciiDigit));
        if (numbers.Length > 0 && number is not null && !numbers.Contains(int.Parse(number, System.Globalization.CultureInfo.InvariantCulture)))
            throw Bad("layers_to_transform", $"leaves out layer {number}, and the adapter holds tensors of '{module}'; PEFT drops them.");
    }

    private int Whole(JsonElement layer) =>
        layer.ValueKind == JsonValueKind.Number && layer.TryGetInt32(out int number) ? number : throw Bad("layers_to_transform", "a list of whole numbers is needed.");

    private bool IsAimedAt(string key, string module, bool otherwise)
    {
        if (!_json.TryGetProperty(key, out JsonElement value)) return otherwise;
        switch (value.ValueKind)
        {
            case JsonValueKind.String when value.GetString() == "all-linear":
                return true;
            case JsonValueKind.String:
                if (!_expressions.TryGetValue(key, out NamePattern? pattern))
                    _expressions.Add(key, pattern = new NamePattern(_file, key, $"^({value.GetString()})$", fromStart: false, value.GetString()!));
                return pattern.Matches(module);
            case JsonValueKind.Array when value.GetArrayLength() > 0:
                if (!_names.TryGetValue(key, out HashSet<string>? names))
                    _names.Add(key, names = [.. value.EnumerateArray().Where(name => name.ValueKind == JsonValueKind.String).Select(name => name.GetString()!)]);
                // A name of a list is that of the module, or its last parts.
                for (int at = -1; (at = module.IndexOf('.', at + 1)) >= 0;)
                {
                    if (names.Contains(module[(at + 1)..])) return true;
                }
                return names.Contains(module);
            default:
                return otherwise;
        }
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
        foreach ((string key, string why) in Foreign)
        {
            if (IsFilled(key)) throw Bad(key, $"{why}; it is not read.");
        }
        if (_json.TryGetProperty("bias", out JsonElement bias) && bias.ValueKind == JsonValueKind.String && bias.GetString() != "none")
            throw Bad("bias", $"'{bias.GetString()}': trained biases are not read.");
        foreach (JsonProperty field in _json.EnumerateObject())
        {
            // Switches and parts that later releases of PEFT may add.
            bool isSwitch = field.Name.StartsWith("use_", StringComparison.Ordinal), isPart = field.Name.EndsWith("_config", StringComparison.Ordinal);
            if ((isSwitch || isPart) && !Harmless.Contains(field.Name) && IsFilled(field.Name))
                throw Bad(field.Name, "is not known, and may change what the adapter does; it is not read.");
        }
        CheckInitialisation();
    }

    // Some ways to begin a training take something out of the base weights, so that the adapter belongs to what is left of them.
    private void CheckInitialisation()
    {
        const string Key = "init_lora_weights";
        if (!_json.TryGetProperty(Key, out JsonElement value) || value.ValueKind != JsonValueKind.String) return;
        string name = value.GetString()!;
        string kind = name.StartsWith("pissa_niter_", StringComparison.Ordinal) ? "pissa" : name;
        if (Untouched.Contains(kind)) return;
        throw Bad(Key, Residual.Contains(kind)
            ? $"'{name}' took the adapter's beginning out of the base weights, and the adapter belongs to what is left of them, not to the model itself; "
                + "convert it in PEFT: save_pretrained(folder, path_initial_model_for_weight_conversion=FOLDER_OF_THE_FIRST_ADAPTER)."
            : kind == "loftq"
                ? "'loftq' trained the adapter on weights that LoftQ quantized, not on those of the model; merge it into them in PEFT (merge_and_unload) and quantize the result."
                : $"'{name}' is not known, and may have changed the base weights; known are {string.Join(", ", Untouched.Concat(Residual).Append("loftq"))}.");
    }

    // false, null, nothing in it: as if it were absent.
    private bool IsFilled(string name) => _json.TryGetProperty(name, out JsonElement value) && value.ValueKind switch
    {
        JsonValueKind.Null or JsonValueKind.False => false,
        JsonValueKind.Array => value.GetArrayLength() > 0,
        JsonValueKind.Object => value.EnumerateObject().Any(),
        JsonValueKind.String => value.GetString()!.Length > 0,
        _ => true,
    };

    private bool Flag(string name) => _json.TryGetProperty(name, out JsonElement flag) && flag.ValueKind == JsonValueKind.True;

    private CheckpointFormatException Bad(string key, string message) => new("config-schema", _file, key, message);
}
