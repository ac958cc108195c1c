namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Granite (dense) in GGUF: its four multipliers have keys.</summary>
internal static class GraniteGguf
{
    /// <summary>Granite 3 and 4.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = "granite",
        ModelType = "granite",
        Class = "GraniteForCausalLM",
        Pairs = GgufPairs.Neighbours,
        Biased = GgufNames.AllBiased,
        // What converters write of models that could have experts.
        Harmless = ["expert_shared_feed_forward_length", "rope.scaling.finetuned"],
        Fields =
        [
            GgufField.Real("attention.scale", "attention_multiplier", 1),
            GgufField.Real("embedding_scale", "embedding_multiplier", 1),
            GgufField.Real("residual_scale", "residual_multiplier", 1),
            GgufField.Real("logit_scale", "logits_scaling", 1),
        ],
    };
}
