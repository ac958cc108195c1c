using System.Globalization;
using System.Text.Json.Nodes;

namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>
/// Granite 4 and Bamba in GGUF. One key says whether attention rotates; Granite's multipliers have keys. Of Bamba's heads a half rotates, and only its rows lie in the order of
/// neighbours: over whole heads, as converters have them, other pairs would rotate.
/// </summary>
internal static class GraniteHybridGguf
{
    private const string Name = "granitehybrid", Rotates = "rope.scaling.finetuned", Scale = "attention.scale";

    private static readonly (string, string)[] Mixers = [GgufNames.InputNorm, .. StateSpaceGguf.Names("mamba"), .. GgufNames.Attention];

    private static readonly GgufField[] Sizes =
    [
        .. StateSpaceGguf.Fields(Parts, StateSpaceGguf.MambaKeys),
        GgufField.Implied("mamba_expand", reading => Math.Max(1, reading.Size("ssm.inner_size") / reading.Size("embedding_length"))),
        GgufField.Implied("mamba_conv_bias", reading => reading.HasInBlocks("ssm_conv1d.bias") || !reading.HasInBlocks("ssm_conv1d.weight")),
    ];

    private static readonly GgufField[] Granite =
    [
        .. Sizes,
        .. GraniteGguf.Form.Fields,
        LayerKinds.Heads("self_attn.k_proj.weight", (reading, attends) => reading.Json["layer_types"] = LayerKinds.Words(attends, "attention", "mamba")),
        new(Rotates, subject => subject.Reader.Word("position_embedding_type") == "rope", reading => reading.Json["position_embedding_type"] = reading.Flag(Rotates) ?? true ? "rope" : "nope"),
    ];

    /// <summary>Granite 4 with experts.</summary>
    public static GgufArchitecture Sparse { get; } = new()
    {
        Name = Name,
        ModelType = "granitemoehybrid",
        Class = "GraniteMoeHybridForCausalLM",
        Pairs = GgufPairs.Neighbours,
        Reads = reading => (reading.Whole("expert_count") ?? 0) > 0,
        Writes = reader => reader.Count("num_local_experts", 8) > 0,
        Names =
        [
            .. Mixers, GgufNames.MlpNorm, .. GgufNames.Experts("block_sparse_moe.router.layer", "block_sparse_moe.experts"),
            ("shared_mlp.gate_proj", "ffn_gate_shexp"), ("shared_mlp.up_proj", "ffn_up_shexp"), ("shared_mlp.output_linear", "ffn_down_shexp"),
        ],
        Layout = MambaLayout,
        Biased = [.. GgufNames.AllBiased, .. StateSpaceGguf.Biased],
        BiasKeys = [("attention_bias", "attn_")],
        Fields =
        [
            .. Granite,
            GgufField.Whole("expert_count", "num_local_experts", 8),
            GgufField.Whole("expert_used_count", "num_experts_per_tok"),
            GgufField.Whole("expert_shared_feed_forward_length", "shared_intermediate_size", 1024),
        ],
        Problems = subject => [.. StateSpaceGguf.Limits(subject, Name), .. LayerKinds.OfOneKind(subject, Name, "self_attn.k_proj.weight", "mamba.A_log")],
    };

    /// <summary>Granite 4 without experts.</summary>
    public static GgufArchitecture Dense { get; } = Sparse with
    {
        Reads = reading => (reading.Whole("expert_count") ?? 0) == 0 && !IsBamba(reading),
        Writes = reader => reader.Count("num_local_experts", 8) == 0,
        Names =
        [
            .. Mixers, GgufNames.MlpNorm, ("shared_mlp.gate_proj", "ffn_gate"), ("shared_mlp.up_proj", "ffn_up"), ("shared_mlp.output_linear", "ffn_down"),
        ],
        Fields =
        [
            .. Granite,
            new("feed_forward_length", subject => Shared(subject), reading =>
            {
                reading.Json["intermediate_size"] = reading.Size("feed_forward_length");
                reading.Json["shared_intermediate_size"] = reading.Size("feed_forward_length");
            }),
            new("expert_shared_feed_forward_length", subject => Shared(subject), _ => { }),
            GgufField.Implied("num_local_experts", _ => 0),
            GgufField.Implied("num_experts_per_tok", _ => 0),
        ],
    };

    /// <summary>Granite 4 of attention alone, which is Granite there, and comes back as that: the engine ends the process on one of mixed layers without any that keeps a state.</summary>
    public static GgufArchitecture Attention { get; } = GraniteGguf.Form with
    {
        ModelType = "granitemoehybrid",
        Class = "GraniteMoeHybridForCausalLM",
        Reads = _ => false,
        Writes = IsAttention,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, ("shared_mlp.gate_proj", "ffn_gate"), ("shared_mlp.up_proj", "ffn_up"), ("shared_mlp.output_linear", "ffn_down"),
        ],
        Fields = [.. GraniteGguf.Form.Fields, new("feed_forward_length", subject => Shared(subject), _ => { })],
        Problems = subject =>
        [
            .. subject.Reader.Word("position_embedding_type") == "rope" ? [] : new[] { GgufLimits.Otherwise("position_embedding_type", "not rope", GraniteGguf.Form.Name, "a rotation in every layer") },
            .. subject.Reader.Count("num_local_experts", 8) == 0 ? [] : new[] { GgufLimits.Otherwise("num_local_experts", "not 0", GraniteGguf.Form.Name, "no experts") },
        ],
    };

    /// <summary>Bamba.</summary>
    public static GgufArchitecture Bamba { get; } = Sparse with
    {
        ModelType = "bamba",
        Class = "BambaForCausalLM",
        SaysPart = true,
        OrdersPart = true,
        Reads = IsBamba,
        Writes = _ => true,
        Outer = [("model.final_layernorm", "output_norm")],
        Names = [.. Mixers, ("pre_ff_layernorm", "ffn_norm"), .. GgufNames.Gated("feed_forward", "")],
        BiasKeys = [("attention_bias", "attn_"), ("mlp_bias", "ffn_")],
        Fields =
        [
            .. Sizes,
            LayerKinds.Heads("self_attn.k_proj.weight", (reading, attends) => reading.Json["attn_layer_indices"] =
                new JsonArray([.. Enumerable.Range(0, attends.Length).Where(layer => attends[layer]).Select(layer => JsonValue.Create(layer))])),
            new(Rotates, _ => true, _ => { }),
            new(Scale, subject => subject.Config.AttentionScale ?? (float)(1 / Math.Sqrt(subject.Config.HeadSize)), CheckScale),
            GgufField.Fixed("embedding_scale", 1f, required: false),
            GgufField.Fixed("residual_scale", 1f, required: false),
            GgufField.Fixed("logit_scale", 1f, required: false),
            new("expert_shared_feed_forward_length", subject => (uint)subject.Config.IntermediateSize, _ => { }),
        ],
    };

    private static StateSpaceParts Parts(GgufSubject subject) => StateSpaceParts.Mamba(subject.Reader, subject.Config);

    private static GgufLayout? MambaLayout(GgufSubject subject, string file) => StateSpaceGguf.Layout(file, () => Parts(subject).Heads.Groups);

    private static uint Shared(GgufSubject subject) => (uint)subject.Reader.Size("shared_intermediate_size", 1024);

    private static bool IsAttention(ConfigReader reader)
    {
        string key = reader.FirstOf("layer_types", "layers_block_type");
        return reader.ListLength(key) is > 0 and var count && reader.Words(key, count)!.All(type => type is "attention" or "full_attention");
    }

    // No Granite rotates a part of its heads.
    private static bool IsBamba(GgufReading reading) => (reading.Whole("expert_count") ?? 0) == 0 && reading.Flag(Rotates) != false
        && reading.Whole("rope.dimension_count") is { } rotated && rotated < (reading.Whole("attention.key_length") ?? reading.Whole("embedding_length") / Math.Max(1, reading.Whole("attention.head_count") ?? 1));

    private static void CheckScale(GgufReading reading)
    {
        double usual = 1 / Math.Sqrt(reading.Whole("attention.key_length") ?? (double)reading.Size("embedding_length") / reading.Size("attention.head_count"));
        if (reading.Number(Scale) is { } scale and not 0 && Math.Abs(scale - usual) > 1e-6 * usual)
            throw new UnsupportedModelException(string.Create(CultureInfo.InvariantCulture, $"{reading.File.Location}: '{reading.Name(Scale)}' is {scale}; {usual:g6}, 1 / sqrt(head size), is supported for Bamba."));
    }
}
