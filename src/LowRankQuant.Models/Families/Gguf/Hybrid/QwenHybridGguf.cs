using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder.Layouts;

namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>
/// Qwen3-Next and Qwen 3.5 in GGUF. Qwen3-Next's projection by key heads lies there as all queries, keys and values, and the gates by themselves. Of Qwen 3.5 the heads of values lie
/// by their number within a key head, in all that has them: rows, channels, rates, and the columns of the output. Norms hold 1 + w, but for that of the delta rule.
/// </summary>
internal static class QwenHybridGguf
{
    private const string Recurrent = "attention.recurrent_layers", Interval = "full_attention_interval", Sections = "rope.dimension_sections", Parameters = "rope_parameters";
    private const string Full = "full_attention", Linear = "linear_attention", Lengths = "lengths of keys";
    private const int UsualInterval = 4;

    private static readonly (string, string)[] Mixers =
    [
        GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, ("linear_attn.conv1d", "ssm_conv1d"), ("linear_attn.A_log", "ssm_a"), ("linear_attn.dt_bias", "ssm_dt.bias"),
        ("linear_attn.norm", "ssm_norm"), ("linear_attn.out_proj", "ssm_out"), ("post_attention_layernorm", "post_attention_norm"),
    ];

    private static readonly (string, string)[] Apart =
        [("linear_attn.in_proj_qkv", "attn_qkv"), ("linear_attn.in_proj_z", "attn_gate"), ("linear_attn.in_proj_b", "ssm_beta"), ("linear_attn.in_proj_a", "ssm_alpha")];

    private static readonly (string, string)[] Experts =
    [
        .. GgufNames.Experts("mlp.gate", "mlp.experts"), ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"), .. GgufNames.Gated("mlp.shared_expert", "_shexp"),
    ];

    private static readonly GgufField[] Delta =
    [
        GgufField.Whole("ssm.conv_kernel", "linear_conv_kernel_dim", 4),
        GgufField.Whole("ssm.group_count", "linear_num_key_heads", 16),
        GgufField.Whole("ssm.time_step_rank", "linear_num_value_heads", 32),
        GgufField.Whole("ssm.state_size", "linear_key_head_dim", 128),
        new("ssm.inner_size", subject => (uint)(Heads(subject).ValueHeads * Heads(subject).ValueSize), reading => reading.Json["linear_value_head_dim"] = StateSpaceGguf.HeadSize(reading)),
        new(Recurrent, subject => Enumerable.Range(0, subject.Config.Layers).Select(layer => subject.Has(layer, "linear_attn.A_log")).ToArray(), ReadKinds),
        new(Interval, subject => subject.Reader.Has("layer_types") ? null : (uint)subject.Reader.Size(Interval, UsualInterval), _ => { }),
        new("nextn_predict_layers", _ => null, _ => { }),
    ];

    private static readonly GgufField[] Routed =
    [
        GgufField.Whole("expert_count", "num_experts"),
        GgufField.Whole("expert_used_count", "num_experts_per_tok"),
        GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
        GgufField.Whole("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
        new("feed_forward_length", subject => (uint)subject.Config.IntermediateSize, reading =>
        {
            if (reading.Whole("feed_forward_length") is > 0 and { } width) reading.Json["intermediate_size"] = width;
        }),
    ];

    private static readonly GgufField Positions = new(Sections, subject => SectionsOf(subject).Append(0).ToArray(), ReadSections);

    /// <summary>Qwen3-Next.</summary>
    public static GgufArchitecture Next { get; } = new()
    {
        Name = "qwen3next",
        ModelType = "qwen3_next",
        Class = "Qwen3NextForCausalLM",
        SaysPart = true,
        NormOffset = 1,
        PlainNorms = ["ssm_norm"],
        Names = [.. Mixers, ("linear_attn.in_proj_qkvz", "attn_qkv"), ("linear_attn.in_proj_qkvz", "attn_gate"), ("linear_attn.in_proj_ba", "ssm_ba"), .. Experts],
        Layout = NextLayout,
        BiasKeys = [("attention_bias", "attn_")],
        Fields = [.. Delta, .. Routed, GgufField.Implied("norm_topk_prob", _ => true)],
        Warnings = subject => GgufLimits.SmallEpsilon(subject, "qwen3next", Lengths),
        Problems = subject =>
        [
            .. Sizes(subject, "qwen3next"),
            .. subject.Reader.Flag("norm_topk_prob", true) ? [] : new[] { GgufLimits.Otherwise("norm_topk_prob", "false", "qwen3next", "true built in") },
        ],
    };

    /// <summary>Qwen 3.5.</summary>
    public static GgufArchitecture Dense { get; } = new()
    {
        Name = "qwen35",
        ModelType = "qwen3_5_text",
        AlsoWrites = ["qwen3_5"],
        Class = "Qwen3_5ForCausalLM",
        SaysPart = true,
        NormOffset = 1,
        PlainNorms = ["ssm_norm"],
        Names = [.. Mixers, .. Apart, .. GgufNames.Mlp],
        Layout = TiledLayout,
        BiasKeys = [("attention_bias", "attn_")],
        Fields = [.. Delta, Positions],
        Problems = subject => [.. Sizes(subject, "qwen35"), .. Uncovered(subject, "qwen35")],
        Warnings = subject => GgufLimits.SmallEpsilon(subject, "qwen35", Lengths),
    };

    /// <summary>Qwen 3.5 with experts.</summary>
    public static GgufArchitecture Sparse { get; } = Dense with
    {
        Name = "qwen35moe",
        ModelType = "qwen3_5_moe_text",
        AlsoWrites = ["qwen3_5_moe"],
        Class = "Qwen3_5MoeForCausalLM",
        Names = [.. Mixers, .. Apart, .. Experts],
        Fields = [.. Delta, .. Routed, Positions],
        Problems = subject => [.. Sizes(subject, "qwen35moe"), .. Uncovered(subject, "qwen35moe")],
        Warnings = subject => GgufLimits.SmallEpsilon(subject, "qwen35moe", Lengths),
    };

    private static (int KeyHeads, int ValueHeads, int KeySize, int ValueSize) Heads(GgufSubject subject) => (
        subject.Reader.Size("linear_num_key_heads", 16), subject.Reader.Size("linear_num_value_heads", 32), subject.Reader.Size("linear_key_head_dim", 128),
        subject.Reader.Size("linear_value_head_dim", 128));

    private static GgufLayout? NextLayout(GgufSubject subject, string file)
    {
        if (file == "ssm_a") return new GgufLayout { IsRate = true };
        if (file is not ("attn_qkv.weight" or "attn_gate.weight")) return null;
        (int keys, int values, int keySize, int valueSize) = Heads(subject);
        // Behind each other for every key head: its query, its key, its values, their gates.
        int own = values / keys * valueSize, stride = (2 * keySize) + (2 * own);
        RowPattern Run(int start, int size) => new(start, keys * size, size, stride);
        return new GgufLayout
        {
            Rows = file == "attn_gate.weight" ? RowOrders.Of(Run((2 * keySize) + own, own)) : RowOrders.Of(Run(0, keySize), Run(keySize, keySize), Run(2 * keySize, own)),
        };
    }

    private static GgufLayout? TiledLayout(GgufSubject subject, string file)
    {
        (int keys, int values, int keySize, int valueSize) = Heads(subject);
        return file switch
        {
            "attn_qkv.weight" or "ssm_conv1d.weight" => new GgufLayout { Rows = RowOrders.OfHeads(keys, values, valueSize, first: 2 * keys * keySize) },
            "attn_gate.weight" => new GgufLayout { Rows = RowOrders.OfHeads(keys, values, valueSize) },
            "ssm_beta.weight" or "ssm_alpha.weight" or "ssm_dt.bias" => new GgufLayout { Rows = RowOrders.OfHeads(keys, values, 1) },
            "ssm_a" => new GgufLayout { Rows = RowOrders.OfHeads(keys, values, 1), IsRate = true },
            "ssm_out.weight" => new GgufLayout { Columns = RowOrders.OfHeads(keys, values, valueSize) },
            _ => null,
        };
    }

    private static void ReadKinds(GgufReading reading)
    {
        int layers = reading.Layers;
        bool[]? recurrent = reading.Flags(Recurrent);
        if (recurrent is not null && recurrent.Length < layers)
            throw new CheckpointException($"{reading.File.Location}: '{reading.Name(Recurrent)}' has {recurrent.Length} flags; {layers} blocks take one each.");
        long interval = recurrent is null && reading.Whole(Interval) is not null ? reading.Size(Interval) : UsualInterval;
        reading.Json["layer_types"] = LayerKinds.Words([.. Enumerable.Range(0, layers).Select(layer => recurrent is null ? (layer + 1) % interval == 0 : !recurrent[layer])], Full, Linear);
    }

    private static IEnumerable<string> Sizes(GgufSubject subject, string architecture)
    {
        (_, _, int keySize, int valueSize) = Heads(subject);
        foreach (string problem in GgufLimits.LargeEpsilon(subject, architecture, Lengths)) yield return problem;
        foreach (string problem in LayerKinds.OfOneKind(subject, architecture, "self_attn.k_proj.weight", "linear_attn.A_log")) yield return problem;
        if (keySize != valueSize) yield return GgufLimits.Otherwise("linear_value_head_dim", valueSize, architecture, $"one size of heads of keys and values, and keys have {keySize}");
    }

    // Of every three pairs one for each axis of a picture; a text has one position on all of them.
    private static int[] SectionsOf(GgufSubject subject)
    {
        int pairs = subject.Config.Rope.RotatedSize / 2;
        return subject.Reader.Has(Parameters) && subject.Reader.Part(Parameters).Ids("mrope_section") is { Count: 3 } own ? [.. own] : [(pairs + 2) / 3, (pairs + 1) / 3, pairs / 3];
    }

    // A pair of no axis gets a fourth position there, which texts do not have.
    private static IEnumerable<string> Uncovered(GgufSubject subject, string architecture)
    {
        // Sections begin anew behind the last.
        int[] sections = SectionsOf(subject);
        int pairs = Math.Min(subject.Config.Rope.RotatedSize / 2, sections.Sum());
        if (pairs == 0 || Enumerable.Range(0, pairs).Any(pair => pair >= 3 * sections[pair % 3]))
            yield return GgufLimits.Otherwise("rope_parameters.mrope_section", $"[{string.Join(", ", sections)}]", architecture, "one position for pairs that are in none of the sections, taken in turns");
    }

    private static void ReadSections(GgufReading reading)
    {
        var parameters = reading.Json["rope_scaling"]?.DeepClone() as JsonObject ?? new JsonObject { ["rope_type"] = "default" };
        reading.Json.Remove("rope_scaling");
        parameters["rope_theta"] = reading.Json["rope_theta"]!.DeepClone();
        reading.Json.Remove("rope_theta");
        parameters["partial_rotary_factor"] = reading.Json["partial_rotary_factor"]!.DeepClone();
        long[] sections = reading.File.Metadata.FindInt64s(reading.Name(Sections)) ?? throw reading.Missing(Sections);
        parameters["mrope_section"] = new JsonArray([.. sections.Take(3).Select(size => JsonValue.Create(size))]);
        parameters["mrope_interleaved"] = true;
        reading.Json[Parameters] = parameters;
    }
}
