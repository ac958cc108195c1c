namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>LFM2 in GGUF, dense and with experts: layers without heads of keys are convolutions, and the norm behind the last is called <c>token_embd_norm</c>.</summary>
internal static class Lfm2Gguf
{
    private const string Keys = "self_attn.k_proj.weight", Convolution = "conv.conv.weight";

    private static readonly (string, string)[] Usual =
    [
        ("operator_norm", "attn_norm"), ("conv.in_proj", "shortconv.in_proj"), ("conv.conv", "shortconv.conv"), ("conv.out_proj", "shortconv.out_proj"),
        .. GgufNames.Attention[..3], ("self_attn.out_proj", "attn_output"), ("self_attn.q_layernorm", "attn_q_norm"), ("self_attn.k_layernorm", "attn_k_norm"),
        ("ffn_norm", "ffn_norm"), ("feed_forward.w1", "ffn_gate"), ("feed_forward.w3", "ffn_up"), ("feed_forward.w2", "ffn_down"),
    ];

    private static readonly GgufField[] Kinds =
    [
        LayerKinds.Heads(Keys, (reading, attends) => reading.Json["layer_types"] = LayerKinds.Words(attends, "full_attention", "conv")),
        GgufField.Whole("shortconv.l_cache", "conv_L_cache", 3),
        GgufField.Implied("conv_bias", _ => false),
    ];

    /// <summary>LFM2.</summary>
    public static GgufArchitecture Dense { get; } = new()
    {
        Name = "lfm2",
        ModelType = "lfm2",
        Class = "Lfm2ForCausalLM",
        SquareAttention = true,
        Outer = [("model.embedding_norm", "token_embd_norm")],
        Names = Usual,
        Biased = [],
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "norm_eps" },
        BiasKeys = [],
        // The width in the file is the one that was made of what the configuration gives.
        Fields = [.. Kinds, GgufField.Implied("block_auto_adjust_ff_dim", _ => false)],
        Problems = subject => LayerKinds.OfOneKind(subject, "lfm2", Keys, Convolution),
    };

    /// <summary>LFM2 with experts.</summary>
    public static GgufArchitecture Sparse { get; } = Dense with
    {
        Name = "lfm2moe",
        ModelType = "lfm2_moe",
        Class = "Lfm2MoeForCausalLM",
        Names = [.. Usual, .. GgufNames.Experts("feed_forward.gate", "feed_forward.experts", "w1", "w3", "w2"), ("feed_forward.expert_bias", "exp_probs_b.bias")],
        Fields =
        [
            .. Kinds,
            GgufField.Whole("expert_count", "num_experts"),
            GgufField.Whole("expert_used_count", "num_experts_per_tok"),
            GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
            GgufField.Whole("leading_dense_block_count", "num_dense_layers", 2),
            GgufField.Fixed("expert_gating_func", 2u),
            GgufField.Implied("use_expert_bias", _ => true),
            GgufField.Implied("norm_topk_prob", _ => true),
        ],
        Problems = Limits,
    };

    private static IEnumerable<string> Limits(GgufSubject subject)
    {
        const string Of = "lfm2moe";
        ConfigReader reader = subject.Reader;
        foreach (string problem in LayerKinds.OfOneKind(subject, Of, Keys, Convolution)) yield return problem;
        if (!reader.Flag("norm_topk_prob", true)) yield return GgufLimits.Otherwise("norm_topk_prob", "false", Of, "true built in");
        if (!reader.Flag("use_expert_bias", true)) yield return GgufLimits.Otherwise("use_expert_bias", "false", Of, "corrections that it insists on");
        if (reader.Number("routed_scaling_factor") is { } factor and not 1) yield return GgufLimits.Otherwise("routed_scaling_factor", factor, Of, "1 built in");
    }
}
