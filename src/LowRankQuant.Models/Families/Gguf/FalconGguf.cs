namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Falcon in GGUF: of two norms that of the MLP has the usual name; no ALiBi, and attention beside the MLP only.</summary>
internal static class FalconGguf
{
    /// <summary>Falcon with rotation and attention beside the MLP.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = "falcon",
        SquareAttention = true,
        ModelType = "falcon",
        Class = "FalconForCausalLM",
        RotatesWholeHeads = true,
        Outer = [("transformer.ln_f", "output_norm")],
        Names =
        [
            GgufNames.InputNorm, ("ln_mlp", "attn_norm"), ("ln_attn", "attn_norm_2"), .. GptGguf.Fused("self_attention"), ("self_attention.dense", "attn_output"),
            ("mlp.dense_h_to_4h", "ffn_up"), ("mlp.dense_4h_to_h", "ffn_down"),
        ],
        Biased = ["attn_norm", "attn_norm_2", "output_norm"],
        Activations = GptGguf.Gelu,
        ActivationName = "gelu",
        Epsilon = GptGguf.LayerNorm,
        ConfigKeys = GptGguf.Keys(("num_key_value_heads", ""), ("head_dim", ""), ("intermediate_size", "ffn_hidden_size"), ("rms_norm_eps", "layer_norm_epsilon"), ("hidden_act", "activation")),
        BiasKeys = [],
        Fields =
        [
            new GgufField("attention.head_count_kv", subject => (uint)subject.Config.KeyValueHeads, ReadKind),
            // What converters call the order of the rows; engines take no other.
            new GgufField("tensor_data_layout", _ => "jploski", _ => { }),
        ],
        Problems = subject => subject.Reader.Flag("alibi", false) ? [GgufLimits.Otherwise("alibi", "true", "falcon", "rotation only")]
            : !subject.Reader.Flag("new_decoder_architecture", false) && !subject.Reader.Flag("parallel_attn", true)
                ? [GgufLimits.Otherwise("parallel_attn", "false", "falcon", "attention beside the MLP only")]
                : [],
    };

    // Files say no more than the number of key heads and whether there are two norms.
    private static void ReadKind(GgufReading reading)
    {
        long keys = reading.Whole("attention.head_count_kv") ?? reading.Whole("attention.head_count") ?? 1;
        bool two = reading.HasInBlocks("attn_norm_2.weight"), grouped = two || keys > 1;
        reading.Json["new_decoder_architecture"] = grouped;
        if (!grouped)
        {
            reading.Json["multi_query"] = true;
            return;
        }
        reading.Json["num_kv_heads"] = keys;
        reading.Json["num_ln_in_parallel_attn"] = two ? 2 : 1;
    }
}
