namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>Mamba-2 alone, and Jamba's Mamba-1 beside attention, in GGUF.</summary>
internal static class MambaGguf
{
    private const string Pure = "mamba2", Mixed = "jamba", States = "ssm.state_size", Ranks = "ssm.time_step_rank", Taps = "ssm.conv_kernel", Inner = "ssm.inner_size";

    /// <summary>Mamba-2: no heads of attention and no MLP, whose numbers are 0 in the file.</summary>
    public static GgufArchitecture Second { get; } = new()
    {
        Name = Pure,
        ModelType = Pure,
        Class = "Mamba2ForCausalLM",
        Pairs = GgufPairs.None,
        HasHeads = false,
        Outer = [("backbone.norm_f", "output_norm")],
        Names = [("norm", "attn_norm"), .. StateSpaceGguf.Names("mixer")],
        Layout = (subject, file) => StateSpaceGguf.Layout(file, () => StateSpaceParts.Alone(subject.Reader).Heads.Groups),
        Biased = StateSpaceGguf.Biased,
        ConfigKeys = new Dictionary<string, string> { ["rms_norm_eps"] = "layer_norm_epsilon" },
        BiasKeys = [],
        Fields =
        [
            .. StateSpaceGguf.Fields(subject => StateSpaceParts.Alone(subject.Reader), ("num_heads", "head_dim", "state_size", "n_groups", "conv_kernel")),
            new("feed_forward_length", _ => 0u, _ => { }),
            new("attention.head_count", _ => 0u, _ => { }),
            new("attention.head_count_kv", _ => null, _ => { }),
            new("attention.key_length", _ => null, _ => { }),
            new("attention.value_length", _ => null, _ => { }),
            GgufField.Implied("expand", reading => Math.Max(1, reading.Size(Inner) / reading.Size("embedding_length"))),
            GgufField.Implied("use_conv_bias", reading => reading.HasInBlocks("ssm_conv1d.bias")),
        ],
        Problems = subject =>
        [
            .. StateSpaceGguf.Limits(subject, Pure),
            .. subject.Reader.Flag("use_conv_bias", true) ? [] : new[] { GgufLimits.Otherwise("use_conv_bias", "false", Pure, "biases that it insists on") },
        ],
    };

    /// <summary>Jamba.</summary>
    public static GgufArchitecture Jamba { get; } = new()
    {
        Name = Mixed,
        ModelType = Mixed,
        Class = "JambaForCausalLM",
        Pairs = GgufPairs.None,
        SquareAttention = true,
        Outer = [("model.final_layernorm", "output_norm")],
        Names =
        [
            GgufNames.InputNorm, ("mamba.in_proj", "ssm_in"), ("mamba.conv1d", "ssm_conv1d"), ("mamba.x_proj", "ssm_x"), ("mamba.dt_layernorm", "ssm_dt_norm"),
            ("mamba.b_layernorm", "ssm_b_norm"), ("mamba.c_layernorm", "ssm_c_norm"), ("mamba.dt_proj", "ssm_dt"), ("mamba.A_log", "ssm_a"), ("mamba.D", "ssm_d"),
            ("mamba.out_proj", "ssm_out"), .. GgufNames.Attention, ("pre_ff_layernorm", "ffn_norm"), .. GgufNames.Gated("feed_forward", ""),
            .. GgufNames.Experts("feed_forward.router", "feed_forward.experts"),
        ],
        Layout = (_, file) => file == "ssm_a" ? new GgufLayout { IsRate = true } : null,
        Biased = [.. StateSpaceGguf.Biased, "ssm_dt"],
        BiasKeys = [],
        Fields =
        [
            LayerKinds.Heads("self_attn.k_proj.weight", (reading, attends) =>
                (reading.Json["attn_layer_period"], reading.Json["attn_layer_offset"]) = LayerKinds.Period(reading, attends, "attention")),
            GgufField.Whole(Taps, "mamba_d_conv", 4),
            GgufField.Whole(States, "mamba_d_state", 16),
            new(Inner, subject => (uint)(subject.Reader.Size("mamba_expand", 2) * subject.Config.HiddenSize), ReadInner),
            new(Ranks, subject => RankOf(subject), reading => reading.Json["mamba_dt_rank"] = reading.Size(Ranks)),
            new("expert_count", subject => subject.ShapeOf("feed_forward.router.weight") is [var count, ..] ? (uint)count : null, ReadExperts),
            new("expert_used_count", subject => subject.ShapeOf("feed_forward.router.weight") is null ? null : (uint)subject.Reader.Size("num_experts_per_tok", 2), reading =>
            {
                if (reading.Whole("expert_used_count") is > 0 and { } used) reading.Json["num_experts_per_tok"] = used;
            }),
            GgufField.Implied("mamba_conv_bias", _ => true),
        ],
        Problems = subject =>
        [
            .. LayerKinds.OfOneKind(subject, Mixed, "self_attn.k_proj.weight", "mamba.A_log"),
            .. subject.Reader.Flag("mamba_conv_bias", true) ? [] : new[] { GgufLimits.Otherwise("mamba_conv_bias", "false", Mixed, "biases that it insists on") },
        ],
    };

    // As many as the weight of the steps has columns, "auto" included.
    private static uint? RankOf(GgufSubject subject) => subject.ShapeOf("mamba.dt_proj.weight") is [_, var rank] ? (uint)rank : null;

    private static void ReadInner(GgufReading reading)
    {
        int inner = reading.Size(Inner), hidden = reading.Size("embedding_length");
        reading.Json["mamba_expand"] = inner % hidden == 0 ? inner / hidden
            : throw new UnsupportedModelException($"{reading.File.Location}: '{reading.Name(Inner)}' is {inner}, no multiple of the width {hidden}, which is not supported for {Mixed}.");
    }

    private static void ReadExperts(GgufReading reading)
    {
        bool[] routes = [.. Enumerable.Range(0, reading.Layers).Select(layer => reading.Has(layer, "ffn_gate_inp.weight"))];
        reading.Json["num_experts"] = reading.Whole("expert_count") is > 0 and { } count ? count : 1;
        (reading.Json["expert_layer_period"], reading.Json["expert_layer_offset"]) = LayerKinds.Period(reading, routes, "experts");
    }
}
