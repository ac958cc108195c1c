using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Phi in GGUF: 2 with its names, 3 and 4 with q, k and v and with gate and up in one tensor, 3.5 with experts.</summary>
internal static class PhiGguf
{
    /// <summary>Phi 1, 1.5 and 2.</summary>
    public static GgufArchitecture Second { get; } = new()
    {
        Name = "phi2",
        SquareAttention = true,
        SaysPart = true,
        ModelType = "phi",
        Class = "PhiForCausalLM",
        Outer = [("model.final_layernorm", "output_norm"), ("lm_head.bias", "output.bias")],
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention[..3], ("self_attn.dense", "attn_output"), ("mlp.fc1", "ffn_up"), ("mlp.fc2", "ffn_down"),
        ],
        Biased = GgufNames.LayerNormed,
        WantsHead = true,
        Activations = [Activation.GeluTanh],
        ActivationName = "gelu_new",
        Epsilon = "attention.layer_norm_epsilon",
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "layer_norm_eps" },
        BiasKeys = [],
    };

    /// <summary>Phi 3, 3.5 and 4.</summary>
    public static GgufArchitecture Third { get; } = new()
    {
        Name = "phi3",
        SquareAttention = true,
        ModelType = "phi3",
        Class = "Phi3ForCausalLM",
        RopeTensors = GgufRopeTensors.ShortAndLong,
        Names =
        [
            GgufNames.InputNorm, ("self_attn.q_proj", "attn_qkv"), ("self_attn.k_proj", "attn_qkv"), ("self_attn.v_proj", "attn_qkv"), ("self_attn.o_proj", "attn_output"),
            GgufNames.MlpNorm, ("mlp.gate_proj", "ffn_up"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
        ],
        BiasKeys = [],
        Fields = [Window, Original],
        MissingWindow = subject => subject.Reader.Window("sliding_window"),
        Warnings = Lists,
    };

    /// <summary>Phi-3.5-MoE.</summary>
    public static GgufArchitecture Moe { get; } = new()
    {
        Name = "phimoe",
        SquareAttention = true,
        ModelType = "phimoe",
        Class = "PhiMoEForCausalLM",
        RopeTensors = GgufRopeTensors.ShortAndLong,
        WantsHead = true,
        Outer = [("model.norm", "output_norm"), ("lm_head.bias", "output.bias")],
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, .. GgufNames.Experts("block_sparse_moe.gate", "block_sparse_moe.experts", "w1", "w3", "w2")],
        Biased = GgufNames.LayerNormed,
        BiasKeys = [("attention_bias", "attn_")],
        Fields =
        [
            GgufField.Whole("expert_count", "num_local_experts", 16), GgufField.Whole("expert_used_count", "num_experts_per_tok", 2), Window, Original,
            GgufField.Implied("lm_head_bias", reading => reading.File.Contains("output.bias")),
        ],
        Problems = _ => [GgufLimits.Otherwise("the choice of experts", "that of sparsemixer", "phimoe", "a softmax over all")],
        Warnings = Lists,
    };

    private static GgufField Window => new(
        "attention.sliding_window", subject => (uint)subject.Reader.Window("sliding_window"),
        reading => reading.Json["sliding_window"] = reading.Whole("attention.sliding_window") is > 0 and { } window ? window : null);

    private static GgufField Original => new(
        "rope.scaling.original_context_length", subject => (uint)subject.Config.Rope.OriginalMaxPositions,
        reading =>
        {
            if (reading.Whole("rope.scaling.original_context_length") is { } original) reading.Json["original_max_position_embeddings"] = original;
        });

    private static IEnumerable<string> Lists(GgufSubject subject)
    {
        if (subject.Config.Rope.Scaling == Decoder.Positions.RopeScaling.LongRope)
        {
            yield return $"rope_scaling: llama.cpp takes LongRoPE's long list whenever its context is larger than {subject.Config.Rope.OriginalMaxPositions} tokens, " +
                "also for texts that are shorter; run it with a context of that size for those.";
        }
    }
}
