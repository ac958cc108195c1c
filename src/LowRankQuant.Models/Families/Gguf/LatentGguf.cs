using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>
/// Latent attention in GGUF: the projection that makes keys and values of the latent lies there as two, those of keys turned, since the engine multiplies queries by them and keeps
/// latents alone. Its keys tell one head of keys, as wide as the latent and what rotates; the heads of the model have keys of their own.
/// </summary>
internal static class LatentGguf
{
    private const string Deepseek = "deepseek2", Mistral = "mistral4", Softmax = "softmax", Sigmoid = "sigmoid", Parameters = "rope_parameters", Grouped = "group_limited_greedy";
    private const string LogMultiplier = "rope.scaling.yarn_log_multiplier", QueryRank = "attention.q_lora_rank", KeyLength = "attention.key_length_mla";
    private const double LogStep = 0.1;

    /// <summary>What has an epsilon of its own.</summary>
    public const string Norms = "norms of latents";

    /// <summary>Names of the mixer.</summary>
    public static IReadOnlyList<(string, string)> Mixer { get; } =
    [
        ("self_attn.q_proj", "attn_q"), ("self_attn.q_a_proj", "attn_q_a"), ("self_attn.q_a_layernorm", "attn_q_a_norm"), ("self_attn.q_b_proj", "attn_q_b"),
        ("self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"), ("self_attn.kv_a_layernorm", "attn_kv_a_norm"), ("self_attn.kv_b_proj", "attn_k_b"), ("self_attn.kv_b_proj", "attn_v_b"),
        ("self_attn.o_proj", "attn_output"),
    ];

    /// <summary>Keys of its sizes, but for the heads of keys.</summary>
    public static IReadOnlyList<GgufField> Sizes { get; } =
    [
        new("attention.key_length", subject => (uint)(Rank(subject) + subject.Config.Rope.RotatedSize), _ => { }),
        new("attention.value_length", subject => (uint)Rank(subject), _ => { }),
        new("attention.kv_lora_rank", subject => (uint)Rank(subject), reading => reading.Json["kv_lora_rank"] = reading.Size("attention.kv_lora_rank")),
        new(QueryRank, subject => subject.ShapeOf("self_attn.q_a_proj.weight") is [var rank, ..] ? (uint)rank : null, reading => reading.Json["q_lora_rank"] = reading.Whole(QueryRank) is > 0 and { } rank ? rank : null),
        new(KeyLength, subject => (uint)subject.Config.HeadSize, ReadHead),
        new("attention.value_length_mla", subject => (uint)ValueSize(subject), reading => reading.Json["v_head_dim"] = reading.Size("attention.value_length_mla")),
        new("rope.dimension_count", subject => (uint)subject.Config.Rope.RotatedSize, _ => { }),
        new("nextn_predict_layers", _ => null, reading => reading.Json["num_nextn_predict_layers"] = reading.Whole("nextn_predict_layers") ?? 0),
    ];

    /// <summary>Keys of config.json that these families call otherwise or do not have.</summary>
    public static IReadOnlyDictionary<string, string> Keys { get; } = new Dictionary<string, string> { ["head_dim"] = "", ["num_key_value_heads"] = "", ["partial_rotary_factor"] = "" };

    private static readonly Kind SharesOfSoftmax = new(Softmax) { Shared = 2 };

    /// <summary>DeepSeek-V2.</summary>
    public static GgufArchitecture DeepseekV2 { get; } = Of(Deepseek, "deepseek_v2", "DeepseekV2ForCausalLM", SharesOfSoftmax) with
    {
        Fields =
        [
            .. Fields(SharesOfSoftmax),
            // Without groups whatever the configuration says, but where it has them, which is refused.
            new("expert_group_count", _ => 1u, reading =>
            {
                if (reading.Whole("expert_group_count") > 1) reading.Json["topk_method"] = Grouped;
            }),
            new("expert_group_used_count", _ => 1u, _ => { }),
        ],
        Reads = reading => !reading.HasInBlocks("exp_probs_b.bias"),
        Problems = subject => [.. Limits(subject, Deepseek), .. Groups(subject)],
    };

    /// <summary>DeepSeek-V3 and R1, Kimi K2, and what else has their parts.</summary>
    public static GgufArchitecture DeepseekV3 { get; } = Of(
        Deepseek, "deepseek_v3", "DeepseekV3ForCausalLM", new Kind(Sigmoid) { Chosen = 8, Groups = 8, KeptGroups = 4, Factor = 2.5, Normalized = true }) with
    {
        AlsoWrites = ["kimi_k2", "kimi_k25"],
    };

    /// <summary>GLM-4.7-Flash, which is read as DeepSeek-V3.</summary>
    public static GgufArchitecture Glm4MoeLite { get; } = Of(
        Deepseek, "glm4_moe_lite", "Glm4MoeLiteForCausalLM", new Kind(Sigmoid) { Chosen = 4, Factor = 1.8, Normalized = true }) with
    {
        Reads = _ => false,
        Problems = subject => [.. Limits(subject, Deepseek), .. DenseFirst(subject, Deepseek)],
    };

    /// <summary>The text model of Mistral Small 4.</summary>
    public static GgufArchitecture Mistral4 { get; } = Of(Mistral, Mistral, "Mistral4ForCausalLM", new Kind(Softmax) { Chosen = 4, Normalized = true }) with
    {
        Fields =
        [
            .. Fields(new Kind(Softmax) { Chosen = 4, Normalized = true }),
            new("attention.temperature_scale", subject => Growth(subject), ReadGrowth),
            new("attention.temperature_length", subject => Growth(subject) is null ? null : (uint)subject.Config.Rope.OriginalMaxPositions, _ => { }),
        ],
        Problems = subject => [.. Limits(subject, Mistral), .. DenseFirst(subject, Mistral)],
    };

    /// <summary>How the projection of keys and values lies.</summary>
    /// <param name="subject">The model.</param>
    /// <param name="file">Name in the file within a block.</param>
    public static GgufLayout? Layout(GgufSubject subject, string file)
    {
        if (file is not ("attn_k_b.weight" or "attn_v_b.weight")) return null;
        int heads = subject.Config.Heads, plain = subject.Config.HeadSize - subject.Config.Rope.RotatedSize, values = ValueSize(subject), stride = plain + values;
        return file == "attn_k_b.weight"
            ? new GgufLayout { Shape = [heads, Rank(subject), plain], Rows = RowOrders.Of(new RowPattern(0, heads * plain, plain, stride)), Turned = plain }
            : new GgufLayout { Shape = [heads, values, Rank(subject)], Rows = RowOrders.Of(new RowPattern(plain, heads * values, values, stride)) };
    }

    private static GgufArchitecture Of(string name, string modelType, string type, Kind kind) => new()
    {
        Name = name,
        ModelType = modelType,
        Class = type,
        Pairs = GgufPairs.Neighbours,
        Names =
        [
            GgufNames.InputNorm, .. Mixer, GgufNames.MlpNorm, .. GgufNames.Mlp, .. GgufNames.Experts("mlp.gate", "mlp.experts"), ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias"),
            .. GgufNames.Gated("mlp.shared_experts", "_shexp"),
        ],
        Layout = Layout,
        Biased = [],
        BiasKeys = [],
        ConfigKeys = Keys,
        Fields = Fields(kind),
        Problems = subject => Limits(subject, name),
        Warnings = subject => GgufLimits.SmallEpsilon(subject, name, Norms),
    };

    private static IReadOnlyList<GgufField> Fields(Kind kind) =>
    [
        .. Sizes,
        GgufField.Fixed("attention.head_count_kv", 1u),
        new("expert_count", subject => (uint)(subject.ShapeOf("mlp.gate.weight")?[0] ?? 0), reading => reading.Json["n_routed_experts"] = reading.Size("expert_count")),
        GgufField.Whole("expert_used_count", "num_experts_per_tok", kind.Chosen),
        new(
            "expert_feed_forward_length", subject => (uint)(subject.ShapeOf("mlp.experts.0.up_proj.weight")?[0] ?? 0),
            reading => reading.Json["moe_intermediate_size"] = reading.Size("expert_feed_forward_length")),
        GgufField.Whole("expert_shared_count", "n_shared_experts", kind.Shared),
        GgufField.Whole("expert_group_count", "n_group", kind.Groups),
        GgufField.Whole("expert_group_used_count", "topk_group", kind.KeptGroups),
        new("leading_dense_block_count", subject => DenseBlocks(subject), reading => reading.Json["first_k_dense_replace"] = reading.Whole("leading_dense_block_count") ?? 0),
        GgufField.Fixed("expert_gating_func", kind.Score == Softmax ? 1u : 2u),
        GgufField.Implied("scoring_func", _ => kind.Score),
        GgufField.Real("expert_weights_scale", "routed_scaling_factor", kind.Factor),
        new("expert_weights_norm", subject => subject.Reader.Flag("norm_topk_prob", kind.Normalized), reading => reading.Json["norm_topk_prob"] = reading.Flag("expert_weights_norm") ?? false),
        // The engine makes it of the multiplier below.
        new("rope.scaling.attn_factor", _ => null, _ => { }),
        new(LogMultiplier, subject => subject.Config.Rope is { Scaling: RopeScaling.Yarn, MScaleAllDim: { } all } ? (float)(LogStep * all) : null, ReadTemperature),
    ];

    private static int Rank(GgufSubject subject) => subject.ShapeOf("self_attn.kv_b_proj.weight")?[1] ?? 0;

    private static int ValueSize(GgufSubject subject) =>
        ((subject.ShapeOf("self_attn.kv_b_proj.weight")?[0] ?? 0) / subject.Config.Heads) - (subject.Config.HeadSize - subject.Config.Rope.RotatedSize);

    private static uint DenseBlocks(GgufSubject subject) => (uint)Enumerable.Range(0, subject.Config.Layers).TakeWhile(layer => !subject.Has(layer, "mlp.gate.weight")).Count();

    private static void ReadHead(GgufReading reading)
    {
        if (reading.Whole(KeyLength) is null && reading.HasInBlocks("attn_kv_b.weight"))
            throw new UnsupportedModelException($"{reading.File.Location}: keys and values lie in one tensor (attn_kv_b), as converters once had it; convert the model again with a newer one.");
        int rotated = reading.Size("rope.dimension_count"), size = reading.Size(KeyLength, rotated + 1);
        reading.Json["qk_rope_head_dim"] = rotated;
        reading.Json["qk_nope_head_dim"] = size - rotated;
    }

    // One number says both, since the engine takes them for the same.
    private static void ReadTemperature(GgufReading reading)
    {
        if (reading.Number(LogMultiplier) is not { } multiplier || multiplier == 0 || reading.Json["rope_scaling"] is not JsonObject scaling || scaling["rope_type"]?.ToString() != "yarn") return;
        double both = GgufReading.Shortest(multiplier / LogStep);
        scaling["mscale"] = both;
        scaling["mscale_all_dim"] = both;
    }

    private static float? Growth(GgufSubject subject) =>
        (float?)(subject.Reader.Has(Parameters) ? subject.Reader.Part(Parameters).Number(Standard.GrowthKey) : LogStep);

    // In the style in which the family keeps it: everything about angles and positions in one object.
    private static void ReadGrowth(GgufReading reading)
    {
        var parameters = reading.Json["rope_scaling"] as JsonObject ?? new JsonObject { ["rope_type"] = "default" };
        reading.Json.Remove("rope_scaling");
        parameters["rope_theta"] = reading.Json["rope_theta"]!.DeepClone();
        reading.Json.Remove("rope_theta");
        if (reading.Number("attention.temperature_scale") is { } beta and not 0) parameters[Standard.GrowthKey] = beta;
        reading.Json[Parameters] = parameters;
    }

    private static IEnumerable<string> Limits(GgufSubject subject, string architecture)
    {
        DecoderConfig config = subject.Config;
        foreach (string problem in GgufLimits.LargeEpsilon(subject, architecture, Norms)) yield return problem;
        // By their numbers it knows those without a latent of queries.
        bool plain = subject.ShapeOf("self_attn.q_a_proj.weight") is null, built = config.Layers is 26 or 27 || (config.Layers == 48 && config.VocabularySize == 128256);
        if (plain != built)
            yield return GgufLimits.Otherwise("q_lora_rank", plain ? "null" : "given", architecture, $"{(built ? "no latent" : "a latent")} of queries built in for {config.Layers} layers and {config.VocabularySize} tokens");
        if (config.Rope.Scaling == RopeScaling.Yarn)
        {
            double one = config.Rope.MScale ?? 0, all = config.Rope.MScaleAllDim ?? 0;
            if (all == 0 || one != all || (architecture == Mistral && one != 1))
                yield return GgufLimits.Otherwise("mscale", string.Create(CultureInfo.InvariantCulture, $"{one} and mscale_all_dim {all}"), architecture, "one number for both, not 0");
        }
        else if (config.Rope.Scaling == RopeScaling.Linear) yield return GgufLimits.Otherwise("rope_scaling", "linear", architecture, "none or yarn here");
        if (subject.Reader.Count("n_shared_experts", 1) == 0) yield return GgufLimits.Otherwise("n_shared_experts", 0, architecture, "a shared expert that it insists on");
    }

    private static IEnumerable<string> Groups(GgufSubject subject)
    {
        if (subject.Reader.Text("topk_method") == Grouped && subject.Reader.Size("n_group", 1) > 1)
            yield return GgufLimits.Otherwise("topk_method", Grouped, Deepseek, "groups by the sum of their two best experts, and this model by the best one");
    }

    // Where a list says it layer by layer.
    private static IEnumerable<string> DenseFirst(GgufSubject subject, string architecture)
    {
        int first = (int)DenseBlocks(subject);
        return GgufLimits.OtherLayers(layer => subject.Has(layer, "mlp.gate.weight"), layer => layer >= first, subject.Config.Layers, "experts", architecture);
    }

    /// <summary>How a family chooses experts, where its configuration does not say it.</summary>
    private sealed record Kind(string Score)
    {
        public int? Chosen { get; init; }

        public int Shared { get; init; } = 1;

        public int Groups { get; init; } = 1;

        public int KeptGroups { get; init; } = 1;

        public double Factor { get; init; } = 1;

        public bool Normalized { get; init; }
    }
}
