using LowRankQuant.Formats;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Qwen 2 and 3 in GGUF, dense and with experts. llama.cpp has no windows there, and chosen experts' weights are divided by their sum or not by generation.</summary>
internal static class QwenGguf
{
    private const string Weighs = "norm_topk_prob";

    /// <summary>Qwen 2 and 2.5.</summary>
    public static GgufArchitecture Second { get; } = new()
    {
        Name = "qwen2",
        SquareAttention = true,
        ModelType = "qwen2",
        Class = "Qwen2ForCausalLM",
        BiasKeys = [],
        MissingWindow = Window,
    };

    /// <summary>Qwen 3.</summary>
    public static GgufArchitecture Third { get; } = new()
    {
        Name = "qwen3",
        ModelType = "qwen3",
        Class = "Qwen3ForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, GgufNames.MlpNorm, .. GgufNames.Mlp],
        BiasKeys = [("attention_bias", "attn_")],
        MissingWindow = Window,
    };

    /// <summary>Qwen 2 MoE.</summary>
    public static GgufArchitecture SecondMoe { get; } = new()
    {
        Name = "qwen2moe",
        SquareAttention = true,
        ModelType = "qwen2_moe",
        Class = "Qwen2MoeForCausalLM",
        WantsHead = true,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, .. GgufNames.Experts("mlp.gate", "mlp.experts"), ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
            .. GgufNames.Gated("mlp.shared_expert", "_shexp"),
        ],
        BiasKeys = [("qkv_bias", "attn_")],
        Fields = [.. Experts(false), GgufField.Whole("expert_shared_feed_forward_length", "shared_expert_intermediate_size")],
        Problems = subject => Weighed(subject, "qwen2moe", false),
    };

    /// <summary>Qwen 3 MoE.</summary>
    public static GgufArchitecture ThirdMoe { get; } = new()
    {
        Name = "qwen3moe",
        ModelType = "qwen3_moe",
        Class = "Qwen3MoeForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, GgufNames.MlpNorm, .. GgufNames.Experts("mlp.gate", "mlp.experts")],
        BiasKeys = [("attention_bias", "attn_")],
        Fields = Experts(true),
        Problems = subject => Weighed(subject, "qwen3moe", true),
    };

    private static GgufField[] Experts(bool normalized) =>
    [
        new GgufField(
            "expert_count", subject => (uint)subject.Reader.Size(subject.Reader.FirstOf("num_experts", "num_local_experts")),
            reading => reading.Json["num_experts"] = reading.Whole("expert_count") ?? throw new CheckpointException($"{reading.File.Location}: '{reading.Name("expert_count")}' is missing; every loader of this architecture needs it.")),
        GgufField.Whole("expert_used_count", "num_experts_per_tok"),
        GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
        GgufField.Implied(Weighs, _ => normalized),
    ];

    private static int Window(GgufSubject subject) => subject.Reader.SwitchedWindows(subject.Config.Layers).Max();

    private static IEnumerable<string> Weighed(GgufSubject subject, string architecture, bool normalized)
    {
        if (subject.Reader.Flag(Weighs, false) != normalized)
            yield return GgufLimits.Otherwise(Weighs, normalized ? "false" : "true", architecture, normalized ? "true built in" : "false built in");
    }
}
