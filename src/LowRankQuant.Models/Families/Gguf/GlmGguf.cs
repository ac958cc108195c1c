namespace LowRankQuant.Models.Families.Gguf;

/// <summary>GLM-4 and GLM-4.5 to 4.7 in GGUF. Blocks that predict further tokens are left out.</summary>
internal static class GlmGguf
{
    /// <summary>GLM-4 (0414).</summary>
    public static GgufArchitecture Dense { get; } = new()
    {
        Name = "glm4",
        SaysPart = true,
        ModelType = "glm4",
        Class = "Glm4ForCausalLM",
        Pairs = GgufPairs.Neighbours,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, ("post_self_attn_layernorm", "post_attention_norm"), GgufNames.MlpNorm,
            ("mlp.gate_proj", "ffn_up"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"), ("post_mlp_layernorm", "post_ffw_norm"),
        ],
        BiasKeys = [("attention_bias", "attn_")],
    };

    /// <summary>GLM-4.5 to 4.7.</summary>
    public static GgufArchitecture Sparse { get; } = new()
    {
        Name = "glm4moe",
        SaysPart = true,
        ModelType = "glm4_moe",
        Class = "Glm4MoeForCausalLM",
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, ("post_attention_layernorm", "post_attention_norm"), .. GgufNames.Mlp,
            .. GgufNames.Experts("mlp.gate", "mlp.experts"), ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias"), .. GgufNames.Gated("mlp.shared_experts", "_shexp"),
        ],
        BiasKeys = [("attention_bias", "attn_")],
        Fields =
        [
            GgufField.Whole("expert_count", "n_routed_experts"),
            GgufField.Whole("expert_used_count", "num_experts_per_tok"),
            GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
            GgufField.Whole("expert_shared_count", "n_shared_experts", 1),
            GgufField.Whole("expert_group_count", "n_group", 1),
            GgufField.Whole("expert_group_used_count", "topk_group", 1),
            GgufField.Whole("leading_dense_block_count", "first_k_dense_replace", 1),
            GgufField.Fixed("expert_gating_func", 2u),
            GgufField.Real("expert_weights_scale", "routed_scaling_factor", 1),
            GgufField.Flag("expert_weights_norm", "norm_topk_prob", true),
            new GgufField("nextn_predict_layers", _ => 0u, reading => reading.Json["num_nextn_predict_layers"] = reading.Whole("nextn_predict_layers") ?? 0),
            GgufField.Implied("use_qk_norm", reading => reading.HasInBlocks("attn_q_norm.weight")),
        ],
    };
}
