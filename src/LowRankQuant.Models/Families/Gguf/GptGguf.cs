using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>
/// Older families in GGUF: GPT-2, GPT-BigCode (starcoder there), GPT-NeoX, BLOOM, MPT. q, k and v lie in one tensor, all queries first, then all keys, then all values,
/// whatever the order of the checkpoint. llama.cpp computes every GELU as the tanh form, from a table of halves.
/// </summary>
internal static class GptGguf
{
    internal const string LayerNorm = "attention.layer_norm_epsilon";
    internal static readonly Activation[] Gelu = [Activation.GeluTanh, Activation.GeluErf];

    /// <summary>GPT-2.</summary>
    public static GgufArchitecture Gpt2 { get; } = new()
    {
        Name = "gpt2",
        SquareAttention = true,
        ModelType = "gpt2",
        Class = "GPT2LMHeadModel",
        Pairs = GgufPairs.None,
        Outer = [("transformer.wpe", "position_embd"), ("transformer.ln_f", "output_norm")],
        Names =
        [
            ("ln_1", "attn_norm"), .. Fused("attn"), ("attn.c_proj", "attn_output"), ("ln_2", "ffn_norm"), ("mlp.c_fc", "ffn_up"), ("mlp.c_proj", "ffn_down"),
        ],
        Biased = GgufNames.LayerNormed,
        Activations = Gelu,
        ActivationName = "gelu_new",
        Epsilon = LayerNorm,
        ConfigKeys = Keys(("hidden_size", "n_embd"), ("num_hidden_layers", "n_layer"), ("num_attention_heads", "n_head"), ("num_key_value_heads", ""), ("head_dim", ""),
            ("intermediate_size", "n_inner"), ("max_position_embeddings", "n_positions"), ("rms_norm_eps", "layer_norm_epsilon"), ("hidden_act", "activation_function")),
        BiasKeys = [],
        Problems = Scores,
    };

    /// <summary>GPT-BigCode.</summary>
    public static GgufArchitecture BigCode { get; } = Gpt2 with
    {
        Name = "starcoder",
        ModelType = "gpt_bigcode",
        Class = "GPTBigCodeForCausalLM",
        ActivationName = "gelu_pytorch_tanh",
        Fields =
        [
            new GgufField("attention.head_count_kv", subject => (uint)subject.Config.KeyValueHeads, reading => reading.Json["multi_query"] = reading.Whole("attention.head_count_kv") == 1),
        ],
    };

    /// <summary>GPT-NeoX, Pythia.</summary>
    public static GgufArchitecture NeoX { get; } = new()
    {
        Name = "gptneox",
        SquareAttention = true,
        SaysPart = true,
        ModelType = "gpt_neox",
        Class = "GPTNeoXForCausalLM",
        WantsHead = true,
        Outer = [("gpt_neox.final_layer_norm", "output_norm")],
        Names =
        [
            GgufNames.InputNorm, .. Fused("attention"), ("attention.dense", "attn_output"), GgufNames.MlpNorm, ("mlp.dense_h_to_4h", "ffn_up"), ("mlp.dense_4h_to_h", "ffn_down"),
        ],
        Biased = GgufNames.LayerNormed,
        Activations = Gelu,
        ActivationName = "gelu",
        Epsilon = LayerNorm,
        ConfigKeys = Keys(("rope_theta", "rotary_emb_base"), ("partial_rotary_factor", "rotary_pct"), ("rms_norm_eps", "layer_norm_eps"), ("num_key_value_heads", ""), ("head_dim", "")),
        BiasKeys = [("attention_bias", "attn_")],
        Fields = [GgufField.Flag("use_parallel_residual", "use_parallel_residual", true)],
    };

    /// <summary>BLOOM.</summary>
    public static GgufArchitecture Bloom { get; } = new()
    {
        Name = "bloom",
        SquareAttention = true,
        ModelType = "bloom",
        Class = "BloomForCausalLM",
        Pairs = GgufPairs.None,
        Outer = [("transformer.word_embeddings_layernorm", "token_embd_norm"), ("transformer.ln_f", "output_norm")],
        Names =
        [
            GgufNames.InputNorm, .. Fused("self_attention"), ("self_attention.dense", "attn_output"), GgufNames.MlpNorm, ("mlp.dense_h_to_4h", "ffn_up"), ("mlp.dense_4h_to_h", "ffn_down"),
        ],
        Biased = [.. GgufNames.LayerNormed, "token_embd_norm"],
        Activations = [Activation.GeluTanh],
        Epsilon = LayerNorm,
        ConfigKeys = Keys(("num_hidden_layers", "n_layer"), ("num_attention_heads", "n_head"), ("num_key_value_heads", ""), ("head_dim", ""), ("intermediate_size", ""),
            ("max_position_embeddings", "seq_length"), ("rms_norm_eps", "layer_norm_epsilon"), ("hidden_act", "")),
        BiasKeys = [],
    };

    /// <summary>MPT.</summary>
    public static GgufArchitecture Mpt { get; } = new()
    {
        Name = "mpt",
        SquareAttention = true,
        ModelType = "mpt",
        Class = "MPTForCausalLM",
        Pairs = GgufPairs.None,
        Outer = [("transformer.norm_f", "output_norm")],
        Names = [("norm_1", "attn_norm"), .. Fused("attn"), ("attn.out_proj", "attn_output"), ("norm_2", "ffn_norm"), ("ffn.up_proj", "ffn_up"), ("ffn.down_proj", "ffn_down")],
        Activations = Gelu,
        Epsilon = LayerNorm,
        ConfigKeys = Keys(("hidden_size", "d_model"), ("num_hidden_layers", "n_layers"), ("num_attention_heads", "n_heads"), ("num_key_value_heads", ""), ("head_dim", ""),
            ("max_position_embeddings", "max_seq_len"), ("rms_norm_eps", "layer_norm_epsilon"), ("hidden_act", "")),
        BiasKeys = [],
        Fields =
        [
            new GgufField("attention.clamp_kqv", subject => (float?)subject.Reader.Part("attn_config").Number("clip_qkv"), reading => reading.Json["attn_config"] =
                new System.Text.Json.Nodes.JsonObject { ["alibi"] = true, ["clip_qkv"] = reading.Number("attention.clamp_kqv") is { } clip and not 0 ? clip : null }),
            GgufField.Fixed("attention.max_alibi_bias", 8f),
            new GgufField("feed_forward_length", subject => (uint)subject.Config.IntermediateSize, reading =>
                reading.Json["expansion_ratio"] = reading.Whole("feed_forward_length") / reading.Whole("embedding_length")),
        ],
        Problems = subject => subject.Reader.Part("attn_config").Number("softmax_scale") is { } scale && (float)scale != (float)(1 / Math.Sqrt(subject.Config.HeadSize))
            ? [GgufLimits.Otherwise("attn_config.softmax_scale", scale, "mpt", "1 / sqrt(head size) built in")]
            : subject.Reader.Part("attn_config").Number("alibi_bias_max") is { } most and not 8 ? [GgufLimits.Otherwise("attn_config.alibi_bias_max", most, "mpt", "8 here")] : [],
    };

    internal static (string, string)[] Fused(string prefix) => [($"{prefix}.q_proj", "attn_qkv"), ($"{prefix}.k_proj", "attn_qkv"), ($"{prefix}.v_proj", "attn_qkv")];

    internal static Dictionary<string, string> Keys(params (string Usual, string Own)[] keys) => keys.ToDictionary(key => key.Usual, key => key.Own, StringComparer.Ordinal);

    private static IEnumerable<string> Scores(GgufSubject subject)
    {
        if (!subject.Reader.Flag("scale_attn_weights", true)) yield return GgufLimits.Otherwise("scale_attn_weights", "false", "gpt2", "true built in");
        if (subject.Reader.Flag("scale_attn_by_inverse_layer_idx", false)) yield return GgufLimits.Otherwise("scale_attn_by_inverse_layer_idx", "true", "gpt2", "false built in");
    }
}
