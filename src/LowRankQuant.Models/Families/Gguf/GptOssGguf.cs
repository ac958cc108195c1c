namespace LowRankQuant.Models.Families.Gguf;

/// <summary>gpt-oss in GGUF: biases everywhere, sinks, windows in even layers and the clamp of the gate built in.</summary>
internal static class GptOssGguf
{
    private const double Limit = 7, Alpha = 1.702;

    /// <summary>gpt-oss.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = "gpt-oss",
        ModelType = "gpt_oss",
        Class = "GptOssForCausalLM",
        WantsHead = true,
        RoundsRamp = true,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, ("self_attn.sinks", "attn_sinks.weight"), ("post_attention_layernorm", "post_attention_norm"),
            .. GgufNames.Experts("mlp.router", "mlp.experts"),
        ],
        Biased = [.. GgufNames.BiasedInputs, "attn_output", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"],
        BiasKeys = [("attention_bias", "attn_")],
        Fields =
        [
            GgufField.Whole("expert_count", "num_local_experts"),
            GgufField.Whole("expert_used_count", "num_experts_per_tok"),
            GgufField.Whole("expert_feed_forward_length", "intermediate_size"),
            GgufField.Whole("attention.sliding_window", "sliding_window", 128),
            GgufField.Implied("rope_scaling", reading => reading.Json["rope_scaling"]?.DeepClone() ?? new System.Text.Json.Nodes.JsonObject { ["rope_type"] = "default" }),
        ],
        Problems = Limits,
    };

    private static IEnumerable<string> Limits(GgufSubject subject)
    {
        ConfigReader reader = subject.Reader;
        if (reader.Number("swiglu_limit") is { } limit and not Limit) yield return GgufLimits.Otherwise("swiglu_limit", limit, "gpt-oss", $"{Limit} built in");
        if (reader.Number("swiglu_alpha") is { } alpha and not Alpha) yield return GgufLimits.Otherwise("swiglu_alpha", alpha, "gpt-oss", $"{Alpha} built in");
        if (!reader.Flag("attention_bias", true)) yield return GgufLimits.Otherwise("attention_bias", "false", "gpt-oss", "biases that it insists on");
        IReadOnlyList<string> types = reader.LayerTypes(subject.Config.Layers, layer => layer % 2 == 1);
        foreach (string other in GgufLimits.OtherLayers(layer => types[layer] == "sliding_attention", layer => layer % 2 == 0, subject.Config.Layers, "a window", "gpt-oss")) yield return other;
    }
}
