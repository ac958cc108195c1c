namespace LowRankQuant.Models.Families;

/// <summary>Names of tensors that most architectures share, in checkpoints and in GGUF files.</summary>
internal static class GgufNames
{
    /// <summary>The embedding in a file.</summary>
    public const string Embedding = "token_embd.weight";

    /// <summary>The output head in a file.</summary>
    public const string Head = "output.weight";

    /// <summary>Table in a file by which frequencies are divided.</summary>
    public const string RopeFactors = "rope_freqs.weight";

    /// <summary>LongRoPE's divisors within the original length.</summary>
    public const string ShortFactors = "rope_factors_short.weight";

    /// <summary>LongRoPE's divisors beyond it.</summary>
    public const string LongFactors = "rope_factors_long.weight";

    /// <summary>Projections whose biases most architectures know.</summary>
    public static IReadOnlyList<string> BiasedInputs { get; } = ["attn_q", "attn_k", "attn_v"];

    /// <summary>All linears of attention and MLP.</summary>
    public static IReadOnlyList<string> AllBiased { get; } = [.. BiasedInputs, "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

    /// <summary>Everything that a block with layer normalisation has biases of.</summary>
    public static IReadOnlyList<string> LayerNormed { get; } = [.. AllBiased, "attn_norm", "ffn_norm", "attn_qkv", "output_norm"];

    /// <summary>q, k, v and the output.</summary>
    public static (string, string)[] Attention { get; } =
        [("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output")];

    /// <summary>Norms of heads, or of the rows of q and k.</summary>
    public static (string, string)[] HeadNorms { get; } = [("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm")];

    /// <summary>Gate, up and down.</summary>
    public static (string, string)[] Mlp { get; } = Gated("mlp", "");

    /// <summary>The norm in front of the MLP, as most name it.</summary>
    public static (string, string) MlpNorm { get; } = ("post_attention_layernorm", "ffn_norm");

    /// <summary>The norm in front of attention.</summary>
    public static (string, string) InputNorm { get; } = ("input_layernorm", "attn_norm");

    /// <summary>Norm, attention, norm, MLP.</summary>
    public static (string, string)[] Usual { get; } = [InputNorm, .. Attention, MlpNorm, .. Mlp];

    /// <summary>The norms of blocks with four, as Gemma 2 names them, but for that in front of attention.</summary>
    public static (string, string)[] SandwichNorms { get; } =
        [("post_attention_layernorm", "post_attention_norm"), ("pre_feedforward_layernorm", "ffn_norm"), ("post_feedforward_layernorm", "post_ffw_norm")];

    /// <summary>Gate, up and down of an MLP of another name, or of what all tokens pass beside experts.</summary>
    public static (string, string)[] Gated(string prefix, string end) =>
        [($"{prefix}.gate_proj", $"ffn_gate{end}"), ($"{prefix}.up_proj", $"ffn_up{end}"), ($"{prefix}.down_proj", $"ffn_down{end}")];

    /// <summary>A router and its experts.</summary>
    public static (string, string)[] Experts(string router, string prefix, string gate = "gate_proj", string up = "up_proj", string down = "down_proj") =>
        [(router, "ffn_gate_inp"), ($"{prefix}.*.{gate}", "ffn_gate_exps"), ($"{prefix}.*.{up}", "ffn_up_exps"), ($"{prefix}.*.{down}", "ffn_down_exps")];
}
