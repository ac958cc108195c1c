using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>
/// Gemma 1 to 3 in GGUF: norms hold 1 + w. Which layers have windows, and the scale of the scores, llama.cpp decides by the number of layers: 46 (Gemma 2) and 62
/// (Gemma 3) are the 27B models, whose scale is 1 / sqrt(hidden / heads), and all others have 1 / sqrt(head size).
/// </summary>
internal static class GemmaGguf
{
    private const string Scale = "query_pre_attn_scalar";

    /// <summary>Gemma 1.</summary>
    public static GgufArchitecture First { get; } = new()
    {
        Name = "gemma",
        ModelType = "gemma",
        Class = "GemmaForCausalLM",
        NormOffset = 1,
        TiedOnly = true,
        Activations = [Activation.GeluTanh],
        ActivationName = "gelu_pytorch_tanh",
        ConfigKeys = new Dictionary<string, string> { ["hidden_act"] = "hidden_activation" },
        BiasKeys = [],
    };

    /// <summary>Gemma 2.</summary>
    public static GgufArchitecture Second { get; } = First with
    {
        Name = "gemma2",
        ModelType = "gemma2",
        Class = "Gemma2ForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.SandwichNorms, .. GgufNames.Mlp],
        Fields =
        [
            GgufField.Whole("attention.sliding_window", "sliding_window", 4096),
            GgufField.Real("attn_logit_softcapping", "attn_logit_softcapping", 50),
            GgufField.Real("final_logit_softcapping", "final_logit_softcapping", 30),
            ImpliedScale(46),
        ],
        Problems = subject => [.. Scales(subject, "gemma2", 46), .. Windows(subject, "gemma2", 2, layer => layer % 2 == 1)],
    };

    /// <summary>Gemma 3.</summary>
    public static GgufArchitecture Third { get; } = First with
    {
        Name = "gemma3",
        ModelType = "gemma3_text",
        AlsoWrites = ["gemma3"],
        Class = "Gemma3ForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, .. GgufNames.SandwichNorms, .. GgufNames.Mlp],
        Fields =
        [
            GgufField.Whole("attention.sliding_window", "sliding_window", 4096),
            new GgufField("rope.freq_base_swa", subject => (float)subject.Reader.Rope(subject.Config.HeadSize, subject.Config.MaxPositions, LocalRope).Theta, reading =>
                reading.Json["rope_local_base_freq"] = reading.Number("rope.freq_base_swa") ?? 10000),
            GgufField.Real("final_logit_softcapping", "final_logit_softcapping"),
            ImpliedScale(62),
        ],
        Problems = subject => [.. Scales(subject, "gemma3", 62), .. Windows(subject, "gemma3", 6, layer => layer % 6 == 5), .. ScoreCap(subject)],
    };

    private static RopeRule LocalRope => new() { ThetaKey = "rope_local_base_freq", LayerType = "sliding_attention", Scaled = false };

    private static GgufField ImpliedScale(int largest) => GgufField.Implied(Scale, reading => BuiltIn(
        largest, reading.Whole("block_count") ?? 0, reading.Whole("embedding_length") ?? 0, reading.Whole("attention.head_count") ?? 1, (long?)reading.Json["head_dim"] ?? 0));

    private static long BuiltIn(int largest, long layers, long hidden, long heads, long headSize) => layers == largest ? hidden / heads : headSize;

    private static IEnumerable<string> Scales(GgufSubject subject, string architecture, int largest)
    {
        long built = BuiltIn(largest, subject.Config.Layers, subject.Config.HiddenSize, subject.Config.Heads, subject.Config.HeadSize);
        double own = subject.Reader.Number(Scale) ?? 256;
        if (own != built) yield return GgufLimits.Otherwise(Scale, own, architecture, $"{built} built in for its sizes");
    }

    private static IEnumerable<string> Windows(GgufSubject subject, string architecture, int usual, Func<int, bool> isFull)
    {
        int pattern = usual == 2 ? 2 : subject.Reader.Size(subject.Reader.FirstOf("sliding_window_pattern", "_sliding_window_pattern"), usual);
        IReadOnlyList<string> types = subject.Reader.LayerTypes(subject.Config.Layers, layer => (layer + 1) % pattern == 0);
        return GgufLimits.OtherLayers(layer => types[layer] == "sliding_attention", layer => !isFull(layer), subject.Config.Layers, "a window", architecture);
    }

    private static IEnumerable<string> ScoreCap(GgufSubject subject)
    {
        if (subject.Reader.Number("attn_logit_softcapping") is > 0 and { } cap) yield return GgufLimits.Otherwise("attn_logit_softcapping", cap, "gemma3", "no such key");
    }
}
