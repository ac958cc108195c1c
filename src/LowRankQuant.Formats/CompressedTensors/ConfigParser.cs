using System.Text.Json;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>Checks a <c>quantization_config</c> value by value; what it does not know and cannot ignore safely, it refuses by name.</summary>
internal sealed class ConfigParser(string file)
{
    private static readonly string[] KnownArgs =
    [
        "num_bits", "type", "symmetric", "strategy", "group_size", "dynamic", "actorder", "block_structure",
        "observer", "observer_kwargs", "scale_dtype", "zp_dtype",
    ];

    public CompressedTensorsConfig Parse(JsonElement config)
    {
        try
        {
            return ParseChecked(config);
        }
        // Strings and property names with an escaped lone surrogate.
        catch (InvalidOperationException e)
        {
            throw new CheckpointFormatException("config-schema", file, null, "a string that is not valid Unicode.", e);
        }
    }

    private CompressedTensorsConfig ParseChecked(JsonElement config)
    {
        Expect(config, JsonValueKind.Object, "quantization_config");
        string? method = Text(config, "quant_method");
        if (method is not null && method != CompressedTensorsConfig.QuantMethod)
            throw new CheckpointFormatException("quant-method", file, "quant_method",
                $"'{method}' where '{CompressedTensorsConfig.QuantMethod}' is read.");
        string? status = Text(config, "quantization_status");
        if (status is not (null or "compressed"))
            throw new CheckpointFormatException("quantization-status", file, "quantization_status",
                $"'{status}'; only compressed checkpoints are read.");
        RefuseUnlessEmpty(config, "sparsity_config", "sparse weights", "dense");
        RefuseUnlessEmpty(config, "transform_config", "weights that need rotations at run time", null);

        string? format = Text(config, "format");
        JsonElement groups = Property(config, "config_groups") ?? throw Schema("config_groups", "the key is missing.");
        Expect(groups, JsonValueKind.Object, "config_groups");
        List<QuantizationScheme> schemes = [];
        foreach (JsonProperty group in groups.EnumerateObject()) schemes.Add(Scheme(group.Name, group.Value, format));
        IReadOnlyList<string> ignore = Property(config, "ignore") is { } list ? Strings(list, "ignore") : [];
        QuantizationArgs? kvCache = Property(config, "kv_cache_scheme") is { } args ? Args(args, "kv_cache_scheme") : null;
        return new CompressedTensorsConfig(file, format, Text(config, "version"), schemes, ignore, kvCache);
    }

    private QuantizationScheme Scheme(string name, JsonElement group, string? modelFormat)
    {
        string key = $"config_groups.{name}";
        Expect(group, JsonValueKind.Object, key);
        JsonElement targets = Property(group, "targets") ?? throw Schema(key, "'targets' is missing.");
        QuantizationArgs? Read(string part) => Property(group, part) is { } args ? Args(args, $"{key}.{part}") : null;
        QuantizationArgs? weights = Read("weights"), inputs = Read("input_activations"), outputs = Read("output_activations");
        string? format = Text(group, "format") ?? (modelFormat == "mixed-precision" ? null : modelFormat);
        return new QuantizationScheme(name, Strings(targets, $"{key}.targets"), weights, inputs, outputs, format ?? InferFormat(weights, inputs));
    }

    // The library's rule for models that do not say (compressors/format.py).
    private static string InferFormat(QuantizationArgs? weights, QuantizationArgs? inputs) => (weights, inputs) switch
    {
        (null, _) => "dense",
        ({ Type: "int" }, not null) => "int-quantized",
        ({ Type: "int", NumBits: <= 8 }, null) => "pack-quantized",
        ({ Type: "float", NumBits: 8 }, not null) => "float-quantized",
        _ => "naive-quantized",
    };

    private QuantizationArgs Args(JsonElement args, string key)
    {
        Expect(args, JsonValueKind.Object, key);
        foreach (JsonProperty property in args.EnumerateObject())
        {
            if (property.Value.ValueKind != JsonValueKind.Null && !KnownArgs.Contains(property.Name))
                throw Schema(key, $"unknown key '{property.Name}', which may change what the numbers mean.");
        }
        int bits = Integer(args, "num_bits", key) ?? 8;
        if (bits is < 1 or > 64) throw Schema(key, $"'num_bits' is {bits}.");
        string type = Text(args, "type", key) ?? "int";
        if (type is not ("int" or "float")) throw Schema(key, $"'type' is '{type}'; it must be 'int' or 'float'.");
        int? groupSize = Integer(args, "group_size", key);
        if (groupSize is 0 or < -1) throw Schema(key, $"'group_size' is {groupSize}.");
        QuantizationStrategy strategy = Strategy(Text(args, "strategy", key), groupSize, key);
        if (groupSize == -1) groupSize = null;
        if (strategy == QuantizationStrategy.Group && groupSize is null) throw Schema(key, "strategy 'group' needs 'group_size'.");
        return new QuantizationArgs(bits, type, Boolean(args, "symmetric", key) ?? true, strategy, groupSize, Dynamic(args, key),
            ActOrder(args, key), Block(args, key));
    }

    private (int, int)? Block(JsonElement args, string key)
    {
        if (Property(args, "block_structure") is not { } block) return null;
        return block.ValueKind == JsonValueKind.Array && block.GetArrayLength() == 2
            && block[0].ValueKind == JsonValueKind.Number && block[0].TryGetInt32(out int rows)
            && block[1].ValueKind == JsonValueKind.Number && block[1].TryGetInt32(out int columns) && rows > 0 && columns > 0
            ? (rows, columns)
            : throw Schema($"{key}.block_structure", $"is {block.GetRawText()}; two positive numbers belong here.");
    }

    private QuantizationStrategy Strategy(string? name, int? groupSize, string key)
    {
        if (name is null)
        {
            return groupSize switch { null => QuantizationStrategy.Tensor, -1 => QuantizationStrategy.Channel, _ => QuantizationStrategy.Group };
        }
        foreach (QuantizationStrategy strategy in Enum.GetValues<QuantizationStrategy>())
        {
            if (QuantizationArgs.StrategyName(strategy) == name) return strategy;
        }
        throw Schema(key, $"'strategy' is '{name}', which is unknown.");
    }

    private string Dynamic(JsonElement args, string key) => Property(args, "dynamic") switch
    {
        null or { ValueKind: JsonValueKind.False } => "false",
        { ValueKind: JsonValueKind.True } => "true",
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        _ => throw Schema(key, "'dynamic' must be a boolean or a string."),
    };

    private string? ActOrder(JsonElement args, string key) => Property(args, "actorder") switch
    {
        null or { ValueKind: JsonValueKind.False } => null,
        { ValueKind: JsonValueKind.True } => "group", // what the library made of true
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        _ => throw Schema(key, "'actorder' must be a string."),
    };

    private void RefuseUnlessEmpty(JsonElement config, string key, string what, string? harmlessFormat)
    {
        if (Property(config, key) is not { } value) return;
        Expect(value, JsonValueKind.Object, key);
        bool used = false;
        foreach (JsonProperty property in value.EnumerateObject())
        {
            bool empty = property.Value.ValueKind switch
            {
                JsonValueKind.Null => true,
                JsonValueKind.Object => !property.Value.EnumerateObject().Any(),
                JsonValueKind.Array => property.Value.GetArrayLength() == 0,
                _ => false,
            };
            used |= !empty;
        }
        if (!used || (harmlessFormat is not null && Text(value, "format", key) == harmlessFormat)) return;
        throw new CheckpointFormatException("unsupported-" + key.Replace("_config", "", StringComparison.Ordinal), file, key,
            $"describes {what}, which are not read.");
    }

    private List<string> Strings(JsonElement array, string key)
    {
        Expect(array, JsonValueKind.Array, key);
        List<string> strings = [];
        foreach (JsonElement item in array.EnumerateArray())
        {
            Expect(item, JsonValueKind.String, key);
            strings.Add(item.GetString()!);
        }
        return strings;
    }

    private static JsonElement? Property(JsonElement owner, string name) =>
        owner.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private string? Text(JsonElement owner, string name, string? key = null)
    {
        if (Property(owner, name) is not { } value) return null;
        string path = key is null ? name : $"{key}.{name}";
        Expect(value, JsonValueKind.String, path);
        return value.GetString();
    }

    private int? Integer(JsonElement owner, string name, string key)
    {
        if (Property(owner, name) is not { } value) return null;
        Expect(value, JsonValueKind.Number, $"{key}.{name}");
        return value.TryGetInt32(out int number) ? number : throw Schema($"{key}.{name}", "must be an integer of at most 32 bits.");
    }

    private bool? Boolean(JsonElement owner, string name, string key) => Property(owner, name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        _ => throw Schema($"{key}.{name}", "must be true or false."),
    };

    private void Expect(JsonElement value, JsonValueKind kind, string key)
    {
        if (value.ValueKind != kind) throw Schema(key, $"is {JsonFile.Name(value.ValueKind)}; it must be {JsonFile.Name(kind)}.");
    }

    private CheckpointFormatException Schema(string key, string message) => new("config-schema", file, key, message);
}
