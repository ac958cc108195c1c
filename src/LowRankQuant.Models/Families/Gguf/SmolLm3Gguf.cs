namespace LowRankQuant.Models.Families.Gguf;

/// <summary>SmolLM 3 in GGUF: every fourth layer is taken for one without rotation; rows of q and k lie in the other order in all of them.</summary>
internal static class SmolLm3Gguf
{
    /// <summary>SmolLM 3.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = "smollm3",
        ModelType = "smollm3",
        Class = "SmolLM3ForCausalLM",
        Pairs = GgufPairs.Neighbours,
        BiasKeys = [("attention_bias", "attn_")],
        MissingWindow = subject => subject.Reader.Flag("use_sliding_window", false) ? subject.Reader.Window("sliding_window") : 0,
        Problems = Limits,
    };

    private static IEnumerable<string> Limits(GgufSubject subject)
    {
        bool[] rotates = subject.Reader.RotatedLayers(subject.Config.Layers);
        foreach (string other in GgufLimits.OtherLayers(layer => rotates[layer], layer => (layer + 1) % 4 != 0, subject.Config.Layers, "a rotation", "smollm3")) yield return other;
    }
}
