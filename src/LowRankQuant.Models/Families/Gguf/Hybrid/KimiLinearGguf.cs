using System.Text.Json.Nodes;

namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>Kimi Linear in GGUF: layers without heads of keys have the delta rule, whose heads are as many as those of attention; nothing rotates.</summary>
internal static class KimiLinearGguf
{
    private const string Name = "kimi-linear", Fixed = "norms of latents and lengths of keys", Size = "kda.head_dim", Taps = "ssm.conv_kernel";

    /// <summary>Kimi Linear.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = Name,
        ModelType = "kimi_linear",
        Class = "KimiLinearForCausalLM",
        Pairs = GgufPairs.None,
        WantsHead = true,
        Names =
        [
            GgufNames.InputNorm, .. LatentGguf.Mixer, ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.q_conv1d", "ssm_conv1d_q"),
            ("self_attn.k_conv1d", "ssm_conv1d_k"), ("self_attn.v_conv1d", "ssm_conv1d_v"), ("self_attn.f_a_proj", "ssm_f_a"), ("self_attn.f_b_proj", "ssm_f_b"),
            ("self_attn.g_a_proj", "ssm_g_a"), ("self_attn.g_b_proj", "ssm_g_b"), ("self_attn.b_proj", "ssm_beta"), ("self_attn.A_log", "ssm_a"), ("self_attn.dt_bias", "ssm_dt.bias"),
            ("self_attn.o_norm", "ssm_norm"), GgufNames.MlpNorm, .. GgufNames.Mlp, .. GgufNames.Experts("block_sparse_moe.gate", "block_sparse_moe.experts", "w1", "w3", "w2"),
            ("block_sparse_moe.gate.e_score_correction_bias", "exp_probs_b.bias"), .. GgufNames.Gated("block_sparse_moe.shared_experts", "_shexp"),
        ],
        Layout = Layout,
        Biased = [],
        BiasKeys = [],
        ConfigKeys = LatentGguf.Keys,
        Fields =
        [
            .. LatentGguf.Sizes,
            LayerKinds.Heads("self_attn.kv_b_proj.weight", ReadDelta, count: 1),
            new(Size, subject => (uint)(subject.ShapeOf("self_attn.o_norm.weight")?[0] ?? 0), _ => { }),
            new(Taps, subject => (uint)(subject.ShapeOf("self_attn.q_conv1d.weight")?[2] ?? 4), _ => { }),
            GgufField.Whole("expert_count", "num_experts"),
            GgufField.Whole("expert_used_count", "num_experts_per_token"),
            GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
            GgufField.Whole("expert_shared_count", "num_shared_experts", 1),
            GgufField.Whole("expert_group_count", "num_expert_group", 1),
            GgufField.Whole("expert_group_used_count", "topk_group", 1),
            GgufField.Whole("leading_dense_block_count", "first_k_dense_replace", 1),
            GgufField.Fixed("expert_gating_func", 2u),
            GgufField.Real("expert_weights_scale", "routed_scaling_factor", 2.446),
            GgufField.Implied("moe_renormalize", _ => true),
            GgufField.Implied("mla_use_nope", _ => true),
        ],
        Problems = Limits,
        Warnings = subject => GgufLimits.SmallEpsilon(subject, Name, Fixed),
    };

    private static GgufLayout? Layout(GgufSubject subject, string file) => file switch
    {
        "ssm_conv1d_q.weight" or "ssm_conv1d_k.weight" or "ssm_conv1d_v.weight" => new GgufLayout { Shape = [-1, 1, subject.ShapeOf("self_attn.q_conv1d.weight")![2]] },
        "ssm_a" => new GgufLayout { Shape = [-1, 1], IsRate = true },
        _ => LatentGguf.Layout(subject, file),
    };

    // Layers are counted from 1.
    private static void ReadDelta(GgufReading reading, bool[] attends)
    {
        JsonArray Numbers(bool kind) => new([.. Enumerable.Range(0, attends.Length).Where(layer => attends[layer] == kind).Select(layer => JsonValue.Create(layer + 1))]);
        reading.Json["linear_attn_config"] = new JsonObject
        {
            ["full_attn_layers"] = Numbers(true),
            ["kda_layers"] = Numbers(false),
            ["num_heads"] = reading.Size("attention.head_count"),
            ["head_dim"] = reading.Size(Size),
            ["short_conv_kernel_size"] = reading.Size(Taps),
        };
    }

    private static IEnumerable<string> Limits(GgufSubject subject)
    {
        foreach (string problem in GgufLimits.LargeEpsilon(subject, Name, Fixed)) yield return problem;
        ConfigReader reader = subject.Reader;
        if (!reader.Flag("moe_renormalize", true)) yield return GgufLimits.Otherwise("moe_renormalize", "false", Name, "true built in");
        if (subject.ShapeOf("self_attn.b_proj.weight") is [var heads, ..] && heads != subject.Config.Heads)
            yield return GgufLimits.Otherwise("linear_attn_config.num_heads", heads, Name, $"as many as heads of attention, {subject.Config.Heads}");
        foreach (string problem in LayerKinds.OfOneKind(subject, Name, "self_attn.kv_b_proj.weight", "self_attn.A_log")) yield return problem;
        if (reader.Count("num_shared_experts", 1) == 0) yield return GgufLimits.Otherwise("num_shared_experts", 0, Name, "a shared expert that it insists on");
    }
}
