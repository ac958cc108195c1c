using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Models.Families;

/// <summary>Typed, checked access to config.json, in the old style and in that of transformers 5. Absent and null are the same.</summary>
internal sealed class ConfigReader(JsonObject json, string file)
{
    /// <summary>A positive size, or the default when absent.</summary>
    public int Size(string key, int? fallback = null, int most = 1 << 24)
    {
        JsonNode? node = json[key];
        if (node is null) return fallback ?? throw Missing(key);
        int value = Whole(key, node);
        return value > 0 && value <= most ? value : throw Wrong(key, node, $"must be a whole number from 1 to {most}");
    }

    public float Epsilon(string key, float fallback)
    {
        double value = Number(key) ?? fallback;
        return value is >= 0 and < 1 ? (float)value : throw Wrong(key, json[key], "must lie in [0, 1)");
    }

    public bool Flag(string key, bool fallback) => json[key] switch
    {
        null => fallback,
        JsonValue value when value.TryGetValue(out bool flag) => flag,
        var other => throw Wrong(key, other, "must be true or false"),
    };

    public string? Text(string key) => json[key] switch
    {
        null => null,
        JsonValue value when value.TryGetValue(out string? text) => text,
        var other => throw Wrong(key, other, "must be a string"),
    };

    public double? Number(string key) => NumberOf(json, key);

    public IReadOnlyList<int> Ids(string key) => json[key] switch
    {
        null => [],
        JsonArray list => [.. list.Select(item => item is null ? throw Wrong(key, list, "must hold whole numbers") : Whole(key, item))],
        var single => [Whole(key, single)],
    };

    /// <summary>The non-linearity named by <c>hidden_act</c>.</summary>
    public Activation Activation(string key, string fallback)
    {
        string name = Text(key) ?? fallback;
        return name switch
        {
            "silu" or "swish" => Numerics.Kernels.Activation.Silu,
            "gelu" => Numerics.Kernels.Activation.GeluErf,
            "gelu_new" or "gelu_pytorch_tanh" or "gelu_fast" => Numerics.Kernels.Activation.GeluTanh,
            "relu" => Numerics.Kernels.Activation.Relu,
            _ => throw new UnsupportedModelException($"{file}: {key} '{name}' is not supported; supported are silu, gelu, gelu_new, gelu_pytorch_tanh and relu."),
        };
    }

    /// <summary>Rotary embedding from <c>rope_parameters</c> (transformers 5) or <c>rope_theta</c> and <c>rope_scaling</c>.</summary>
    public RopeConfig Rope(int headSize, int maxPositions)
    {
        JsonObject? parameters = Object("rope_parameters"), scaling = parameters ?? Object("rope_scaling");
        double theta = (parameters is null ? null : NumberOf(parameters, "rope_theta")) ?? Number("rope_theta") ?? 10000;
        if (!(theta > 1) || !double.IsFinite(theta)) throw Wrong("rope_theta", json["rope_theta"] ?? parameters?["rope_theta"], "must be a number above 1");
        double partial = (parameters is null ? null : NumberOf(parameters, "partial_rotary_factor")) ?? Number("partial_rotary_factor") ?? 1;
        int rotated = (int)(headSize * partial);
        if (rotated < 2 || rotated > headSize || rotated % 2 != 0) throw Wrong("partial_rotary_factor", json["partial_rotary_factor"], $"must give an even number of rotated elements up to {headSize}");
        var rope = new RopeConfig { Theta = theta, RotatedSize = rotated, MaxPositions = maxPositions, OriginalMaxPositions = maxPositions };
        string kind = scaling is null ? "default" : TextOf(scaling, "rope_type") ?? TextOf(scaling, "type") ?? "default";
        if (kind is "default") return rope;
        double factor = NumberOf(scaling!, "factor") ?? throw Missing("rope_scaling.factor");
        if (!(factor >= 1) || !double.IsFinite(factor)) throw Wrong("rope_scaling.factor", scaling!["factor"], "must be a number of at least 1");
        double original = NumberOf(scaling!, "original_max_position_embeddings") ?? Number("original_max_position_embeddings") ?? maxPositions;
        if (original is not (>= 1 and <= int.MaxValue)) throw Wrong("rope_scaling.original_max_position_embeddings", scaling!["original_max_position_embeddings"], "must be a positive number");
        rope = rope with { Factor = factor, OriginalMaxPositions = (int)original };
        return kind switch
        {
            "linear" => rope with { Scaling = RopeScaling.Linear },
            "dynamic" => rope with { Scaling = RopeScaling.Dynamic },
            "llama3" => rope with
            {
                Scaling = RopeScaling.Llama3,
                LowFrequencyFactor = NumberOf(scaling!, "low_freq_factor") ?? 1,
                HighFrequencyFactor = NumberOf(scaling!, "high_freq_factor") ?? 4,
            },
            "yarn" => rope with
            {
                Scaling = RopeScaling.Yarn,
                BetaFast = NumberOf(scaling!, "beta_fast") ?? 32,
                BetaSlow = NumberOf(scaling!, "beta_slow") ?? 1,
                Truncate = scaling!["truncate"] is not JsonValue truncate || !truncate.TryGetValue(out bool flag) || flag,
                AttentionFactor = NumberOf(scaling!, "attention_factor"),
                MScale = NumberOf(scaling!, "mscale"),
                MScaleAllDim = NumberOf(scaling!, "mscale_all_dim"),
            },
            _ => throw new UnsupportedModelException($"{file}: rope type '{kind}' is not supported; supported are default, linear, dynamic, llama3 and yarn."),
        };
    }

    public CheckpointException Wrong(string key, JsonNode? value, string rule) =>
        new($"{file}: {key} is {value?.ToJsonString() ?? "absent"}; it {rule}.");

    private CheckpointException Missing(string key) => new($"{file}: the key '{key}' is missing.");

    private JsonObject? Object(string key) => json[key] switch
    {
        null => null,
        JsonObject found => found,
        var other => throw Wrong(key, other, "must be an object"),
    };

    private int Whole(string key, JsonNode node)
    {
        // By its text, because a value made by a program (from GGUF metadata) answers only to the very type it was made with.
        if (node is JsonValue value && value.GetValueKind() == JsonValueKind.Number
            && double.TryParse(value.ToJsonString(), NumberStyles.Float, CultureInfo.InvariantCulture, out double real)
            && real == Math.Floor(real) && Math.Abs(real) < int.MaxValue)
        {
            return (int)real;
        }
        throw Wrong(key, node, "must be a whole number");
    }

    private double? NumberOf(JsonObject from, string key) => from[key] switch
    {
        null => null,
        JsonValue value when value.GetValueKind() == JsonValueKind.Number => double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture),
        var other => throw Wrong(key, other, "must be a number"),
    };

    private string? TextOf(JsonObject from, string key) => from[key] is JsonValue value && value.TryGetValue(out string? text) ? text : null;
}
