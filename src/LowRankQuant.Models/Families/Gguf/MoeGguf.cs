using System.Text.Json.Nodes;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Further families with experts in GGUF: ERNIE 4.5, MiniMax M2, DBRX.</summary>
internal static class MoeGguf
{
    /// <summary>ERNIE 4.5 with experts.</summary>
    public static GgufArchitecture Ernie { get; } = new()
    {
        Name = "ernie4_5-moe",
        ModelType = "ernie4_5_moe",
        Class = "Ernie4_5_MoeForCausalLM",
        Pairs = GgufPairs.Neighbours,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, .. GgufNames.Mlp, .. GgufNames.Experts("mlp.gate", "mlp.experts"),
            ("mlp.moe_statics.e_score_correction_bias", "exp_probs_b.bias"), .. GgufNames.Gated("mlp.shared_experts", "_shexp"),
        ],
        Biased = [.. GgufNames.BiasedInputs, "attn_output"],
        BiasKeys = [("use_bias", "attn_")],
        Fields =
        [
            GgufField.Whole("expert_count", "moe_num_experts"),
            GgufField.Whole("expert_used_count", "moe_k", 6),
            GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
            GgufField.Whole("expert_shared_count", "moe_num_shared_experts", 2),
            new GgufField(
                "expert_shared_feed_forward_length", subject => (uint)(subject.Reader.Size("moe_intermediate_size") * subject.Reader.Count("moe_num_shared_experts", 2)), _ => { }),
            GgufField.Whole("interleave_moe_layer_step", "moe_layer_interval", 1),
            GgufField.Whole("leading_dense_block_count", "moe_layer_start_index", 1),
        ],
        Problems = subject => subject.Reader.Number("moe_layer_end_index") is >= 0 and { } end && end < subject.Config.Layers - 1
            ? [GgufLimits.Otherwise("moe_layer_end_index", end, "ernie4_5-moe", "experts up to the last layer")]
            : [],
    };

    /// <summary>MiniMax M2.</summary>
    public static GgufArchitecture MiniMax { get; } = new()
    {
        Name = "minimax-m2",
        ModelType = "minimax_m2",
        Class = "MiniMaxM2ForCausalLM",
        WantsHead = true,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, GgufNames.MlpNorm, .. GgufNames.Experts("block_sparse_moe.gate", "block_sparse_moe.experts", "w1", "w3", "w2"),
            ("block_sparse_moe.e_score_correction_bias", "exp_probs_b.bias"),
        ],
        BiasKeys = [],
        ConfigKeys = new Dictionary<string, string> { ["partial_rotary_factor"] = "" },
        Fields =
        [
            GgufField.Whole("expert_count", "num_local_experts"),
            GgufField.Whole("expert_used_count", "num_experts_per_tok"),
            GgufField.Whole("expert_feed_forward_length", "intermediate_size"),
            GgufField.Fixed("expert_gating_func", 2u),
            GgufField.Implied("rotary_dim", reading => reading.Whole("rope.dimension_count")),
        ],
    };

    /// <summary>DBRX.</summary>
    public static GgufArchitecture Dbrx { get; } = new()
    {
        Name = "dbrx",
        SquareAttention = true,
        ModelType = "dbrx",
        Class = "DbrxForCausalLM",
        WantsHead = true,
        Outer = [("transformer.norm_f", "output_norm")],
        Names =
        [
            ("norm_attn_norm.norm_1", "attn_norm"), ("norm_attn_norm.attn.q_proj", "attn_qkv"), ("norm_attn_norm.attn.k_proj", "attn_qkv"), ("norm_attn_norm.attn.v_proj", "attn_qkv"),
            ("norm_attn_norm.attn.out_proj", "attn_output"), ("norm_attn_norm.norm_2", "attn_output_norm"),
            .. GgufNames.Experts("ffn.router.layer", "ffn.experts.mlp", "w1", "v1", "w2"),
        ],
        Biased = [],
        Epsilon = "attention.layer_norm_epsilon",
        ConfigKeys = new Dictionary<string, string>
        {
            ["hidden_size"] = "d_model",
            ["num_hidden_layers"] = "n_layers",
            ["num_attention_heads"] = "n_heads",
            ["num_key_value_heads"] = "",
            ["head_dim"] = "",
            ["intermediate_size"] = "",
            ["max_position_embeddings"] = "max_seq_len",
            ["rms_norm_eps"] = "layer_norm_epsilon",
            ["rope_theta"] = "",
            ["hidden_act"] = "",
        },
        BiasKeys = [],
        Fields =
        [
            new GgufField("attention.clamp_kqv", subject => (float)(subject.Reader.Part("attn_config").Number("clip_qkv") ?? 1e30), reading => reading.Json["attn_config"] = new JsonObject
            {
                ["kv_n_heads"] = reading.Whole("attention.head_count_kv") ?? reading.Whole("attention.head_count"),
                ["rope_theta"] = reading.Number("rope.freq_base") ?? 10000,
                ["clip_qkv"] = reading.Number("attention.clamp_kqv") is { } clip and < 1e20 ? clip : null,
            }),
            new GgufField("expert_count", subject => (uint)subject.Reader.Part("ffn_config").Size("moe_num_experts", 4), reading => reading.Json["ffn_config"] = new JsonObject
            {
                ["ffn_hidden_size"] = reading.Whole("feed_forward_length"),
                ["moe_num_experts"] = reading.Whole("expert_count"),
                ["moe_top_k"] = reading.Whole("expert_used_count"),
            }),
            new GgufField("expert_used_count", subject => (uint)subject.Reader.Part("ffn_config").Size("moe_top_k", 1), _ => { }),
        ],
        Problems = subject => subject.Reader.Part("ffn_config").Number("moe_normalize_expert_weights") is { } norm and not 1
            ? [GgufLimits.Otherwise("ffn_config.moe_normalize_expert_weights", norm, "dbrx", "1 built in")]
            : [],
    };
}
