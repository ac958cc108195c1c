using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Dense families that are Llama in GGUF but for names, norms, activations or one choice.</summary>
internal static class OtherGguf
{
    private const string LayerNorm = "attention.layer_norm_epsilon";

    /// <summary>StarCoder 2; llama.cpp has no window there.</summary>
    public static GgufArchitecture Starcoder2 { get; } = new()
    {
        Name = "starcoder2",
        SquareAttention = true,
        ModelType = "starcoder2",
        Class = "Starcoder2ForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, ("mlp.c_fc", "ffn_up"), ("mlp.c_proj", "ffn_down")],
        Biased = GgufNames.LayerNormed,
        Activations = [Activation.GeluTanh],
        ActivationName = "gelu_pytorch_tanh",
        Epsilon = LayerNorm,
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "norm_epsilon" },
        BiasKeys = [("use_bias", "attn_")],
        Fields = [GgufField.Implied("sliding_window", _ => 0)],
        MissingWindow = subject => subject.Reader.Window("sliding_window"),
        Problems = subject => subject.Reader.Flag("use_bias", true) ? [] : [GgufLimits.Otherwise("use_bias", "false", "starcoder2", "biases that it insists on")],
    };

    /// <summary>StableLM 2.</summary>
    public static GgufArchitecture StableLm { get; } = new()
    {
        Name = "stablelm",
        SquareAttention = true,
        SaysPart = true,
        ModelType = "stablelm",
        Class = "StableLmForCausalLM",
        WantsHead = true,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, ("self_attn.q_layernorm.norms.*", "attn_q_norm"), ("self_attn.k_layernorm.norms.*", "attn_k_norm"), GgufNames.MlpNorm,
            .. GgufNames.Mlp,
        ],
        Biased = [.. GgufNames.BiasedInputs, "attn_norm", "ffn_norm", "output_norm"],
        Epsilon = LayerNorm,
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "layer_norm_eps" },
        BiasKeys = [("use_qkv_bias", "attn_")],
        Fields =
        [
            // The engine looks for the second norm.
            new GgufField("use_parallel_residual", subject => subject.Reader.Flag("use_parallel_residual", false), reading => reading.Json["use_parallel_residual"] = !reading.HasInBlocks("ffn_norm.weight")),
            GgufField.Implied("qk_layernorm", reading => reading.HasInBlocks("attn_q_norm.weight")),
        ],
    };

    /// <summary>Nemotron and Minitron: norms hold 1 + w.</summary>
    public static GgufArchitecture Nemotron { get; } = new()
    {
        Name = "nemotron",
        SquareAttention = true,
        SaysPart = true,
        ModelType = "nemotron",
        Class = "NemotronForCausalLM",
        NormOffset = 1,
        WantsHead = true,
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down")],
        Biased = GgufNames.LayerNormed,
        Activations = [Activation.ReluSquared],
        ActivationName = "relu2",
        Epsilon = LayerNorm,
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "norm_eps" },
    };

    /// <summary>EXAONE 4; windows and layers without rotation llama.cpp has for its 64 layers only.</summary>
    public static GgufArchitecture Exaone4 { get; } = new()
    {
        Name = "exaone4",
        SquareAttention = true,
        ModelType = "exaone4",
        Class = "Exaone4ForCausalLM",
        RopeTensors = GgufRopeTensors.Divisors,
        Names =
        [
            .. GgufNames.Attention, .. GgufNames.HeadNorms, ("post_attention_layernorm", "post_attention_norm"), .. GgufNames.Mlp, ("post_feedforward_layernorm", "post_ffw_norm"),
        ],
        BiasKeys = [],
        Fields =
        [
            new GgufField(
                "attention.sliding_window", subject => subject.Reader.Window("sliding_window") is > 0 and var window ? (uint)window : null,
                reading => reading.Json["sliding_window"] = reading.Whole("block_count") == LayersOfWindows ? reading.Whole("attention.sliding_window") ?? 4096 : null),
        ],
        Problems = Windows,
    };

    /// <summary>Hunyuan, dense.</summary>
    public static GgufArchitecture Hunyuan { get; } = new()
    {
        Name = "hunyuan-dense",
        ModelType = "hunyuan_v1_dense",
        Class = "HunYuanDenseV1ForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, ("self_attn.query_layernorm", "attn_q_norm"), ("self_attn.key_layernorm", "attn_k_norm"), GgufNames.MlpNorm, .. GgufNames.Mlp],
        BiasKeys = [("attention_bias", "attn_")],
        Problems = subject => subject.Reader.Flag("use_qk_norm", true) ? [] : [GgufLimits.Otherwise("use_qk_norm", "false", "hunyuan-dense", "norms of heads that it insists on")],
    };

    /// <summary>Seed-OSS.</summary>
    public static GgufArchitecture SeedOss { get; } = new()
    {
        Name = "seed_oss",
        ModelType = "seed_oss",
        Class = "SeedOssForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, ("post_attention_layernorm", "post_attention_norm"), .. GgufNames.Mlp],
        BiasKeys = [("attention_bias", "attn_")],
    };

    /// <summary>Arcee: no gate, squared ReLU.</summary>
    public static GgufArchitecture Arcee { get; } = new()
    {
        Name = "arcee",
        ModelType = "arcee",
        Class = "ArceeForCausalLM",
        Pairs = GgufPairs.Neighbours,
        RotatesWholeHeads = true,
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down")],
        Activations = [Activation.ReluSquared],
        ActivationName = "relu2",
        BiasKeys = [("attention_bias", "attn_")],
    };

    /// <summary>Apertus: the numbers of its activation are keys.</summary>
    public static GgufArchitecture Apertus { get; } = new()
    {
        Name = "apertus",
        ModelType = "apertus",
        Class = "ApertusForCausalLM",
        WantsHead = true,
        RopeTensors = GgufRopeTensors.Divisors,
        Names =
        [
            ("attention_layernorm", "attn_norm"), .. GgufNames.Attention, .. GgufNames.HeadNorms, ("feedforward_layernorm", "ffn_norm"), ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
        ],
        Numbers = [.. new[] { "alpha_n", "alpha_p", "beta", "eps" }.Select(name => ($"mlp.act_fn.{name}", $"xielu.{name}"))],
        Biased = [.. GgufNames.BiasedInputs, "attn_output"],
        ActivationName = "xielu",
        BiasKeys = [("attention_bias", "attn_")],
    };

    /// <summary>ERNIE 4.5, which rotates neighbours itself.</summary>
    public static GgufArchitecture Ernie { get; } = new()
    {
        Name = "ernie4_5",
        ModelType = "ernie4_5",
        Class = "Ernie4_5ForCausalLM",
        Pairs = GgufPairs.Neighbours,
        Biased = [.. GgufNames.BiasedInputs, "attn_output"],
        BiasKeys = [("use_bias", "attn_")],
    };

    private const int LayersOfWindows = 64;

    private static IEnumerable<string> Windows(GgufSubject subject)
    {
        int window = subject.Reader.Window("sliding_window"), layers = subject.Config.Layers;
        if (window > 0 != (layers == LayersOfWindows))
        {
            yield return GgufLimits.Otherwise("sliding_window", window, "exaone4", layers == LayersOfWindows ? $"windows built in for {layers} layers" : $"none for {layers} layers");
            yield break;
        }
        if (window == 0) yield break;
        IReadOnlyList<string> types = subject.Reader.LayerTypes(layers, layer => (layer + 1) % 4 == 0);
        foreach (string other in GgufLimits.OtherLayers(layer => types[layer] == "sliding_attention", layer => (layer + 1) % 4 != 0, layers, "a window", "exaone4")) yield return other;
    }
}
