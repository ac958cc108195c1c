using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>
/// Falcon-H1 in GGUF: there are no keys for its multipliers, which are multiplied into the weights; a tied model so gets a head of its own. A file that is read has none any more.
/// </summary>
internal static class FalconH1Gguf
{
    private const string Name = "falcon-h1";

    private static readonly string[] Multipliers =
    [
        "embedding_multiplier", "lm_head_multiplier", "key_multiplier", "attention_in_multiplier", "attention_out_multiplier", "ssm_in_multiplier", "ssm_out_multiplier",
    ];

    /// <summary>Falcon-H1.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = Name,
        ModelType = "falcon_h1",
        Class = "FalconH1ForCausalLM",
        WantsHead = true,
        Outer = [("model.final_layernorm", "output_norm")],
        // The engine has this one name without an end.
        Names = [GgufNames.InputNorm, .. StateSpaceGguf.Names("mamba"), .. GgufNames.Attention, ("pre_ff_layernorm.weight", "ffn_norm"), .. GgufNames.Gated("feed_forward", "")],
        Layout = Layout,
        Biased = [.. GgufNames.AllBiased, .. StateSpaceGguf.Biased],
        BiasKeys = [("attention_bias", "attn_"), ("mlp_bias", "ffn_")],
        Fields =
        [
            .. StateSpaceGguf.Fields(subject => StateSpaceParts.Mamba(subject.Reader, subject.Config), StateSpaceGguf.MambaKeys),
            GgufField.Implied("mamba_d_ssm", reading => reading.Size("ssm.inner_size")),
            GgufField.Implied("mamba_conv_bias", reading => reading.HasInBlocks("ssm_conv1d.bias")),
            GgufField.Implied("mamba_rms_norm", reading => reading.HasInBlocks("ssm_norm.weight")),
            GgufField.Implied("mamba_norm_before_gate", _ => false),
        ],
        Problems = subject =>
        [
            .. StateSpaceGguf.Limits(subject, Name),
            .. subject.Reader.Flag("mamba_rms_norm", false) && subject.Reader.Flag("mamba_norm_before_gate", true)
                ? new[] { GgufLimits.Otherwise("mamba_norm_before_gate", "true", Name, "the gate in front of the norm") } : [],
        ],
        Warnings = Folded,
    };

    private static GgufLayout? Layout(GgufSubject subject, string file)
    {
        GgufLayout? mamba = StateSpaceGguf.Layout(file, () => StateSpaceParts.Mamba(subject.Reader, subject.Config).Heads.Groups);
        return mamba ?? (Factor(subject, file) is { } factor ? new GgufLayout { Factor = factor } : null);
    }

    // By rows of the model; biases stand behind what multiplies inputs.
    private static Func<int, float>? Factor(GgufSubject subject, string file)
    {
        float input = Of("attention_in_multiplier"), key = Of("key_multiplier");
        return file switch
        {
            GgufNames.Embedding => One(Of("embedding_multiplier")),
            GgufNames.Head => One(Of("lm_head_multiplier")),
            "attn_q.weight" or "attn_v.weight" => One(input),
            "attn_k.weight" => One(input * key),
            "attn_k.bias" => One(key),
            "attn_output.weight" or "attn_output.bias" => One(Of("attention_out_multiplier")),
            "ffn_gate.weight" or "ffn_gate.bias" => One(Parts("mlp_multipliers", 2)[0]),
            "ffn_down.weight" or "ffn_down.bias" => One(Parts("mlp_multipliers", 2)[1]),
            "ssm_out.weight" => One(Of("ssm_out_multiplier")),
            "ssm_in.weight" => Rows(subject, Of("ssm_in_multiplier"), Parts("ssm_multipliers", 5)),
            _ => null,
        };

        float Of(string key) => (float)(subject.Reader.Number(key) ?? 1);

        float[] Parts(string key, int count) => subject.Reader.Numbers(key, count) ?? [.. Enumerable.Repeat(1f, count)];
    }

    private static Func<int, float>? One(float factor) => factor == 1 ? null : _ => factor;

    // Rows of z, x, B, C and dt.
    private static Func<int, float>? Rows(GgufSubject subject, float input, float[] parts)
    {
        if (input == 1 && parts.All(part => part == 1)) return null;
        StateSpaceShape heads = StateSpaceParts.Mamba(subject.Reader, subject.Config).Heads;
        int inner = heads.Heads * heads.HeadSize, group = heads.Groups * heads.StateSize;
        int[] ends = [inner, 2 * inner, (2 * inner) + group, (2 * inner) + (2 * group)];
        return row => input * parts[ends.Count(end => row >= end)];
    }

    private static IEnumerable<string> Folded(GgufSubject subject)
    {
        bool any = Multipliers.Any(key => subject.Reader.Number(key) is { } value and not 1)
            || new[] { ("ssm_multipliers", 5), ("mlp_multipliers", 2) }.Any(list => subject.Reader.Numbers(list.Item1, list.Item2)?.Any(value => value != 1) == true);
        if (any) yield return $"the {Name} architecture of llama.cpp has no keys for the multipliers of the configuration; the weights in the file are those of the model times these, and not equal to it.";
        if (any && subject.Config.TiedEmbeddings) yield return "the output head is the embedding here; the file holds both, each with its multiplier.";
    }
}
