using LowRankQuant.Formats;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>
/// Nemotron-H and Nemotron 3 in GGUF: one part a layer, told by heads of keys and widths of MLPs that are 0 where a layer has none. Nothing rotates, and rows of q and k lie in the
/// order of neighbours all the same.
/// </summary>
internal static class NemotronHGguf
{
    private const string Widths = "feed_forward_length", LayerNorm = "attention.layer_norm_epsilon", Pattern = "hybrid_override_pattern";

    private static readonly (string, string)[] Usual =
    [
        ("norm", "attn_norm"), .. StateSpaceGguf.Names("mixer"), ("mixer.q_proj", "attn_q"), ("mixer.k_proj", "attn_k"), ("mixer.v_proj", "attn_v"), ("mixer.o_proj", "attn_output"),
        ("mixer.up_proj", "ffn_up"), ("mixer.down_proj", "ffn_down"),
    ];

    private static readonly GgufField[] Sizes =
    [
        .. StateSpaceGguf.Fields(subject => StateSpaceParts.Nemotron(subject.Reader), ("mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups", "conv_kernel")),
        LayerKinds.Heads("mixer.k_proj.weight", (_, _) => { }),
        new(Widths, subject => Enumerable.Range(0, subject.Config.Layers).Select(layer => WidthOf(subject, layer)).ToArray(), ReadKinds),
        // Written under both names, which the engine reads.
        new(LayerNorm, subject => subject.Config.NormEpsilon, _ => { }),
        GgufField.Implied("use_conv_bias", reading => reading.HasInBlocks("ssm_conv1d.bias")),
        GgufField.Implied("use_bias", _ => false),
    ];

    /// <summary>Nemotron-H.</summary>
    public static GgufArchitecture Dense { get; } = new()
    {
        Name = "nemotron_h",
        ModelType = "nemotron_h",
        Class = "NemotronHForCausalLM",
        Pairs = GgufPairs.None,
        OrdersUnrotated = true,
        Outer = [("backbone.norm_f", "output_norm")],
        Names = Usual,
        Layout = (subject, file) => StateSpaceGguf.Layout(file, () => StateSpaceParts.Nemotron(subject.Reader).Heads.Groups),
        Biased = [.. GgufNames.AllBiased, .. StateSpaceGguf.Biased],
        Activations = [Activation.ReluSquared],
        ActivationName = "relu2",
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "layer_norm_epsilon", ["hidden_act"] = "mlp_hidden_act" },
        BiasKeys = [("attention_bias", "attn_"), ("mlp_bias", "ffn_")],
        Fields = Sizes,
        Problems = subject => Limits(subject, "nemotron_h"),
    };

    /// <summary>Nemotron 3: experts in place of some MLPs.</summary>
    public static GgufArchitecture Sparse { get; } = Dense with
    {
        Name = "nemotron_h_moe",
        Writes = reader => reader.Text(Pattern)?.Contains('E', StringComparison.Ordinal)
            ?? reader.ListLength("layers_block_type") is { } count && reader.Words("layers_block_type", count)!.Contains("moe"),
        Names =
        [
            .. Usual, ("mixer.gate", "ffn_gate_inp"), ("mixer.gate.e_score_correction_bias", "exp_probs_b.bias"), ("mixer.experts.*.up_proj", "ffn_up_exps"),
            ("mixer.experts.*.down_proj", "ffn_down_exps"), ("mixer.shared_experts.up_proj", "ffn_up_shexp"), ("mixer.shared_experts.down_proj", "ffn_down_shexp"),
        ],
        Fields =
        [
            .. Sizes,
            GgufField.Whole("expert_count", "n_routed_experts"),
            GgufField.Whole("expert_used_count", "num_experts_per_tok"),
            GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
            GgufField.Whole("expert_shared_count", "n_shared_experts", 1),
            GgufField.Whole("expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size"),
            GgufField.Whole("expert_group_count", "n_group", 1),
            GgufField.Whole("expert_group_used_count", "topk_group", 1),
            GgufField.Real("expert_weights_scale", "routed_scaling_factor", 1),
            GgufField.Flag("expert_weights_norm", "norm_topk_prob", true),
        ],
        Problems = subject =>
        [
            .. Limits(subject, "nemotron_h_moe"),
            .. subject.ShapeOf("mixer.up_proj.weight") is null ? [] : new[] { GgufLimits.Otherwise("an MLP", "there beside experts", "nemotron_h_moe", "experts in all layers without a mixer") },
            .. subject.Reader.Count("n_shared_experts", 1) > 0 ? [] : new[] { GgufLimits.Otherwise("n_shared_experts", 0, "nemotron_h_moe", "a shared expert that it insists on") },
        ],
    };

    private static IEnumerable<string> Limits(GgufSubject subject, string architecture) =>
        [.. StateSpaceGguf.Limits(subject, architecture), .. LayerKinds.OfOneKind(subject, architecture, "mixer.k_proj.weight", "mixer.A_log")];

    private static uint WidthOf(GgufSubject subject, int layer) => subject.Has(layer, "mixer.up_proj.weight") ? (uint)subject.Config.IntermediateSize
        : subject.Has(layer, "mixer.gate.weight") ? (uint)subject.Reader.Size("moe_intermediate_size") : 0;

    private static void ReadKinds(GgufReading reading)
    {
        long[] widths = reading.PerLayer(Widths);
        bool[] attends = LayerKinds.Attend(reading);
        int both = Enumerable.Range(0, widths.Length).FirstOrDefault(layer => attends[layer] && widths[layer] > 0, -1);
        if (both >= 0) throw new CheckpointException($"{reading.File.Location}: layer {both} has heads of keys and an MLP by '{reading.Name(Widths)}'; a layer is one of the two.");
        reading.Json[Pattern] = string.Concat(widths.Select((width, layer) => attends[layer] ? '*' : width == 0 ? 'M' : reading.Has(layer, "ffn_gate_inp.weight") ? 'E' : '-'));
        if (widths.Where((width, layer) => width > 0 && !reading.Has(layer, "ffn_gate_inp.weight")).DefaultIfEmpty(0).Max() is > 0 and var wide) reading.Json["intermediate_size"] = wide;
    }
}
