namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Command R in GGUF. Norms of heads llama.cpp takes for granted from 64 layers on, and has none below; of Cohere 2 every fourth layer is full and without rotation.</summary>
internal static class CohereGguf
{
    private const int LayersOfNorms = 64, Pattern = 4;

    /// <summary>Cohere 1.</summary>
    public static GgufArchitecture First { get; } = new()
    {
        Name = "command-r",
        SquareAttention = true,
        ModelType = "cohere",
        Class = "CohereForCausalLM",
        Pairs = GgufPairs.Neighbours,
        TiedOnly = true,
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, .. GgufNames.Mlp],
        Epsilon = "attention.layer_norm_epsilon",
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "layer_norm_eps" },
        BiasKeys = [("attention_bias", "attn_")],
        Fields = [GgufField.Real("logit_scale", "logit_scale", 0.0625), GgufField.Implied("use_qk_norm", reading => reading.HasInBlocks("attn_q_norm.weight"))],
        Problems = subject =>
        {
            bool norms = subject.Reader.Flag("use_qk_norm", false), built = subject.Config.Layers >= LayersOfNorms;
            return norms == built ? [] : [GgufLimits.Otherwise("use_qk_norm", norms ? "true" : "false", "command-r", $"{(built ? "true" : "false")} built in for {subject.Config.Layers} layers")];
        },
    };

    /// <summary>Cohere 2.</summary>
    public static GgufArchitecture Second { get; } = First with
    {
        Name = "cohere2",
        ModelType = "cohere2",
        Class = "Cohere2ForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.Mlp],
        Fields = [GgufField.Real("logit_scale", "logit_scale", 0.0625), GgufField.Whole("attention.sliding_window", "sliding_window", 4096)],
        Problems = subject =>
        {
            int pattern = subject.Reader.Size(subject.Reader.FirstOf("sliding_window_pattern", "_sliding_window_pattern"), Pattern);
            IReadOnlyList<string> types = subject.Reader.LayerTypes(subject.Config.Layers, layer => (layer + 1) % pattern == 0);
            return GgufLimits.OtherLayers(layer => types[layer] == "sliding_attention", layer => (layer + 1) % Pattern != 0, subject.Config.Layers, "a window", "cohere2");
        },
    };
}
