using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Models.Families;

/// <summary>What a family's rotation has otherwise than most.</summary>
internal sealed record RopeRule
{
    /// <summary>Default of the base.</summary>
    public double Theta { get; init; } = 10000;

    /// <summary>Key of the base in the old style.</summary>
    public string ThetaKey { get; init; } = "rope_theta";

    /// <summary>Default of the part of a head that rotates.</summary>
    public double Partial { get; init; } = 1;

    /// <summary>Key of that part in the old style.</summary>
    public string PartialKey { get; init; } = "partial_rotary_factor";

    /// <summary>Key of the number of rotated elements, which then counts; null for none.</summary>
    public string? RotatedKey { get; init; }

    /// <summary>Number of rotated elements whatever the keys say; null where they do.</summary>
    public int? Rotated { get; init; }

    /// <summary>The kind of layer whose parameters are asked for where they differ by kind.</summary>
    public string LayerType { get; init; } = "full_attention";

    /// <summary>Whether frequencies are scaled in the old style, where <c>rope_scaling</c> holds for some layers only.</summary>
    public bool Scaled { get; init; } = true;

    /// <summary>Pairs are neighbours.</summary>
    public bool Interleaved { get; init; }

    /// <summary>Default of the kind of scaling and its factor, where a family has one without being told.</summary>
    public JsonObject? Scaling { get; init; }
}

/// <summary>
/// Rotary embedding from <c>rope_parameters</c> (transformers 5; nested by kind of layer in some families) or <c>rope_theta</c> and <c>rope_scaling</c>.
/// </summary>
/// <param name="reader">Checks and messages.</param>
/// <param name="json">The configuration.</param>
internal sealed class RopeReader(ConfigReader reader, JsonObject json)
{
    /// <summary>Key of the parameters in the style of transformers 5.</summary>
    public const string Parameters = "rope_parameters";

    private const string Kinds = "default, linear, dynamic, llama3, yarn, longrope and proportional";

    /// <summary>Reads it.</summary>
    public RopeConfig Read(int headSize, int maxPositions, RopeRule rule)
    {
        JsonObject? parameters = reader.Object(Parameters);
        if (parameters?[rule.LayerType] is JsonObject own) parameters = own;
        JsonObject? scaling = parameters ?? (rule.Scaled ? reader.Object("rope_scaling") ?? rule.Scaling : null);
        double theta = Find(parameters, "rope_theta") ?? reader.Number(rule.ThetaKey) ?? rule.Theta;
        if (!(theta > 1) || !double.IsFinite(theta)) throw reader.Wrong(rule.ThetaKey, json[rule.ThetaKey] ?? parameters?["rope_theta"], "must be a number above 1");
        string kind = scaling is null ? "default" : Word(scaling, "rope_type") ?? Word(scaling, "type") ?? "default";
        double part = Find(parameters, "partial_rotary_factor") ?? reader.Number(rule.PartialKey) ?? rule.Partial;
        int rotated = rule.Rotated is { } known ? known : rule.RotatedKey is { } key && reader.Has(key) ? reader.Size(key) : kind == "proportional" ? headSize : (int)(headSize * part);
        if (rotated < 2 || rotated > headSize || rotated % 2 != 0) throw reader.Wrong(rule.PartialKey, json[rule.PartialKey], $"must give an even number of rotated elements up to {headSize}");
        var rope = new RopeConfig
        {
            Theta = theta,
            RotatedSize = rotated,
            MaxPositions = maxPositions,
            OriginalMaxPositions = maxPositions,
            Interleaved = rule.Interleaved,
        };
        if (kind == "default") return rope;
        if (kind == "proportional") return rope with { Scaling = RopeScaling.Proportional, RotatingPairs = (int)(part * headSize / 2) };
        if (kind == "table") return rope with { Scaling = RopeScaling.Table, Divisors = Numbers(scaling!, "divisors", rotated / 2) };
        double original = Find(scaling, "original_max_position_embeddings") ?? reader.Number("original_max_position_embeddings") ?? maxPositions;
        if (original is not (>= 1 and <= int.MaxValue)) throw reader.Wrong("rope_scaling.original_max_position_embeddings", scaling!["original_max_position_embeddings"], "must be a positive number");
        rope = rope with { OriginalMaxPositions = (int)original };
        if (kind == "dynamic" && Find(scaling, "alpha") is > 0 and var alpha)
            return rope with { Theta = theta * Math.Pow(alpha, headSize / (headSize - 2.0)) };
        if (kind is "longrope" or "su" || (kind == "yarn" && scaling!["long_factor"] is not null)) return LongRope(rope, scaling!);
        double factor = Find(scaling, "factor") ?? throw reader.Missing("rope_scaling.factor");
        if (!(factor >= 1) || !double.IsFinite(factor)) throw reader.Wrong("rope_scaling.factor", scaling!["factor"], "must be a number of at least 1");
        rope = rope with { Factor = factor };
        return kind switch
        {
            "linear" => rope with { Scaling = RopeScaling.Linear },
            "dynamic" => rope with { Scaling = RopeScaling.Dynamic },
            "llama3" => rope with
            {
                Scaling = RopeScaling.Llama3,
                LowFrequencyFactor = Find(scaling, "low_freq_factor") ?? 1,
                HighFrequencyFactor = Find(scaling, "high_freq_factor") ?? 4,
            },
            "yarn" => rope with
            {
                Scaling = RopeScaling.Yarn,
                BetaFast = Find(scaling, "beta_fast") ?? 32,
                BetaSlow = Find(scaling, "beta_slow") ?? 1,
                Truncate = scaling!["truncate"] is not JsonValue truncate || !truncate.TryGetValue(out bool flag) || flag,
                AttentionFactor = Find(scaling, "attention_factor"),
                MScale = Find(scaling, "mscale"),
                MScaleAllDim = Find(scaling, "mscale_all_dim"),
            },
            _ => throw new UnsupportedModelException($"{reader.File}: rope type '{kind}' is not supported; supported are {Kinds}."),
        };
    }

    // The factor of the attention follows from that of the lengths, which old files do not give.
    private RopeConfig LongRope(RopeConfig rope, JsonObject scaling)
    {
        int pairs = rope.RotatedSize / 2;
        return rope with
        {
            Scaling = RopeScaling.LongRope,
            Factor = Find(scaling, "factor") ?? (double)rope.MaxPositions / rope.OriginalMaxPositions,
            ShortFactors = Numbers(scaling, "short_factor", pairs),
            LongFactors = Numbers(scaling, "long_factor", pairs),
            AttentionFactor = Find(scaling, "attention_factor"),
            ShortMScale = Find(scaling, "short_mscale"),
            LongMScale = Find(scaling, "long_mscale"),
        };
    }

    private float[] Numbers(JsonObject from, string key, int count)
    {
        if (from[key] is not JsonArray list || list.Count != count) throw reader.Wrong($"rope_scaling.{key}", null, $"must be a list of {count} numbers, one per rotated pair");
        float[] numbers = [.. list.Select(item => item is JsonValue value && value.GetValueKind() == System.Text.Json.JsonValueKind.Number
            ? float.Parse(value.ToJsonString(), CultureInfo.InvariantCulture)
            : throw reader.Wrong($"rope_scaling.{key}", list, "must hold numbers"))];
        return Array.TrueForAll(numbers, number => number > 0 && float.IsFinite(number)) ? numbers : throw reader.Wrong($"rope_scaling.{key}", list, "must hold positive numbers");
    }

    private double? Find(JsonObject? from, string key) => from is null ? null : reader.NumberOf(from, key);

    private static string? Word(JsonObject from, string key) => from[key] is JsonValue value && value.TryGetValue(out string? text) ? text : null;
}
