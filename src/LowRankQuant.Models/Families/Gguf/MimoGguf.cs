using System.Text.Json.Nodes;
using LowRankQuant.Formats;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>MiMo V2 in GGUF: key heads and kinds of layers by layer, values of a size and a factor of their own.</summary>
internal static class MimoGguf
{
    private const string Pattern = "attention.sliding_window_pattern", Local = "sliding_attention";

    /// <summary>MiMo V2 Flash.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = "mimo2",
        ModelType = "mimo_v2_flash",
        Class = "MiMoV2FlashForCausalLM",
        WantsHead = true,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, ("self_attn.attention_sink_bias", "attn_sinks.weight"), GgufNames.MlpNorm, .. GgufNames.Mlp,
            .. GgufNames.Experts("mlp.gate", "mlp.experts"), ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias"),
        ],
        BiasKeys = [],
        Fields =
        [
            GgufField.Whole("expert_count", "n_routed_experts"),
            GgufField.Whole("expert_used_count", "num_experts_per_tok"),
            GgufField.Whole("expert_feed_forward_length", "moe_intermediate_size"),
            GgufField.Real("expert_weights_scale", "routed_scaling_factor", 1),
            GgufField.Real("attention.value_scale", "attention_value_scale", 0.707),
            new GgufField("attention.key_length", subject => (uint)subject.Config.HeadSize, _ => { }),
            new GgufField("attention.value_length", subject => (uint)subject.Reader.Size("v_head_dim", 128), reading => reading.Json["v_head_dim"] = reading.Whole("attention.value_length")),
            new GgufField("attention.head_count_kv", subject => Types(subject).Select(type => (uint)((type == Local ? 2 : 1) * subject.Config.KeyValueHeads)).ToArray(), ReadLayers),
            new GgufField("attention.sliding_window", subject => Window(subject), reading => reading.Json["sliding_window"] = reading.Whole("attention.sliding_window")),
            new GgufField(Pattern, subject => Types(subject).Select(type => type == Local).ToArray(), _ => { }),
            new GgufField("rope.freq_base", subject => (float)subject.Config.Rope.Theta, _ => { }),
            new GgufField("rope.freq_base_swa", subject => (float)subject.Reader.Rope(
                subject.Config.HeadSize, subject.Config.MaxPositions, new RopeRule { Theta = 10000, Partial = 0.334, LayerType = Local }).Theta, ReadRope),
        ],
    };

    private static IReadOnlyList<string> Types(GgufSubject subject) => subject.Reader.LayerTypes(subject.Config.Layers, layer => layer % 6 == 0);

    private static uint Window(GgufSubject subject) =>
        (uint)(subject.Reader.Has("sliding_window_size") ? subject.Reader.Size("sliding_window_size") + 1 : subject.Reader.Window("sliding_window", 128));

    private static void ReadLayers(GgufReading reading)
    {
        int layers = reading.Blocks;
        bool[] windows = reading.Flags(Pattern) ?? throw new CheckpointException($"{reading.File.Location}: '{reading.Name(Pattern)}' is missing; this architecture needs it.");
        long[] keys = reading.Wholes("attention.head_count_kv", layers) ?? [];
        if (windows.Length < layers || keys.Length < layers) throw new CheckpointException($"{reading.File.Location}: '{reading.Name(Pattern)}' and the heads of keys must be given for {layers} layers.");
        reading.Json["num_key_value_heads"] = Enumerable.Range(0, layers).Min(layer => windows[layer] ? keys[layer] / 2 : keys[layer]);
        reading.Json["layer_types"] = new JsonArray([.. windows.Take(layers).Select(window => JsonValue.Create(window ? Local : "full_attention"))]);
        reading.Json["mlp_layer_types"] = new JsonArray([.. Enumerable.Range(0, layers).Select(layer => JsonValue.Create(reading.File.Contains($"blk.{layer}.ffn_gate_inp.weight") ? "sparse" : "dense"))]);
    }

    private static void ReadRope(GgufReading reading)
    {
        double part = (double)(reading.Whole("rope.dimension_count") ?? 0) / (reading.Whole("attention.key_length") ?? 1);
        reading.Json["rope_parameters"] = new JsonObject
        {
            ["full_attention"] = new JsonObject { ["rope_type"] = "default", ["rope_theta"] = reading.Number("rope.freq_base") ?? 5e6, ["partial_rotary_factor"] = part },
            [Local] = new JsonObject { ["rope_type"] = "default", ["rope_theta"] = reading.Number("rope.freq_base_swa") ?? 10000, ["partial_rotary_factor"] = part },
        };
    }
}
