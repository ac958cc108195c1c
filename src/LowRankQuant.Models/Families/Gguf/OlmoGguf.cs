namespace LowRankQuant.Models.Families.Gguf;

/// <summary>OLMo 2 and 3 and OLMoE in GGUF; llama.cpp has no clamp of q, k and v there, and OLMo 3's windows in all but every fourth layer.</summary>
internal static class OlmoGguf
{
    /// <summary>OLMo 2.</summary>
    public static GgufArchitecture Second { get; } = new()
    {
        Name = "olmo2",
        SquareAttention = true,
        ModelType = "olmo2",
        Class = "Olmo2ForCausalLM",
        WantsHead = true,
        Names =
        [
            .. GgufNames.Attention, .. GgufNames.HeadNorms, ("post_attention_layernorm", "post_attention_norm"), .. GgufNames.Mlp, ("post_feedforward_layernorm", "post_ffw_norm"),
        ],
        BiasKeys = [("attention_bias", "attn_")],
        Reads = reading => reading.Whole("attention.sliding_window") is null,
        Problems = subject => Clamp(subject, "olmo2"),
    };

    /// <summary>OLMo 3, a kind of olmo2 there.</summary>
    public static GgufArchitecture Third { get; } = Second with
    {
        ModelType = "olmo3",
        Class = "Olmo3ForCausalLM",
        Fields =
        [
            GgufField.Whole("attention.sliding_window", "sliding_window", 4096),
            new GgufField(
                "attention.sliding_window_pattern", subject => Types(subject).Select(type => type == "sliding_attention").ToArray(),
                reading =>
                {
                    if (reading.Flags("attention.sliding_window_pattern") is { } windows)
                        reading.Json["layer_types"] = new System.Text.Json.Nodes.JsonArray([.. windows.Select(window => System.Text.Json.Nodes.JsonValue.Create(window ? "sliding_attention" : "full_attention"))]);
                }),
        ],
        Reads = reading => reading.Whole("attention.sliding_window") is not null,
        Problems = subject =>
        [
            .. Clamp(subject, "olmo2"),
            .. GgufLimits.OtherLayers(layer => Types(subject)[layer] == "sliding_attention", layer => (layer + 1) % 4 != 0, subject.Config.Layers, "a window", "olmo2"),
        ],
    };

    /// <summary>OLMoE.</summary>
    public static GgufArchitecture Moe { get; } = new()
    {
        Name = "olmoe",
        SquareAttention = true,
        ModelType = "olmoe",
        Class = "OlmoeForCausalLM",
        WantsHead = true,
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, GgufNames.MlpNorm, .. GgufNames.Experts("mlp.gate", "mlp.experts")],
        BiasKeys = [("attention_bias", "attn_")],
        Fields = [GgufField.Whole("expert_count", "num_experts"), GgufField.Whole("expert_used_count", "num_experts_per_tok"), GgufField.Implied("norm_topk_prob", _ => false)],
        Problems = subject => [.. Clamp(subject, "olmoe"), .. Weighed(subject)],
    };

    private static IReadOnlyList<string> Types(GgufSubject subject) => subject.Reader.LayerTypes(subject.Config.Layers, layer => (layer + 1) % 4 == 0);

    private static IEnumerable<string> Clamp(GgufSubject subject, string architecture)
    {
        if (subject.Reader.Number("clip_qkv") is { } clip) yield return GgufLimits.Otherwise("clip_qkv", clip, architecture, "no such key");
    }

    private static IEnumerable<string> Weighed(GgufSubject subject)
    {
        if (subject.Reader.Flag("norm_topk_prob", false)) yield return GgufLimits.Otherwise("norm_topk_prob", "true", "olmoe", "false built in");
    }
}
