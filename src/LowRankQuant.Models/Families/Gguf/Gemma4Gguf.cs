using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>
/// Gemma 4 in GGUF: sizes of heads of both kinds of layers, key heads and widths by layer, frequencies of the pairs that stand still as a table, inputs of the blocks' own,
/// gate and up of experts in one stack.
/// </summary>
internal static class Gemma4Gguf
{
    private const string Local = "sliding_attention", Pattern = "attention.sliding_window_pattern", Widths = "feed_forward_length", KeyHeads = "attention.head_count_kv";

    /// <summary>Gemma 4.</summary>
    public static GgufArchitecture Form { get; } = new()
    {
        Name = "gemma4",
        ModelType = "gemma4_text",
        AlsoWrites = ["gemma4"],
        Class = "Gemma4ForCausalLM",
        RopeTensors = GgufRopeTensors.Divisors,
        Outer =
        [
            ("model.embed_tokens_per_layer", "per_layer_token_embd"), ("model.per_layer_model_projection", "per_layer_model_proj"),
            ("model.per_layer_projection_norm", "per_layer_proj_norm"), ("model.norm", "output_norm"),
        ],
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, .. GgufNames.HeadNorms, .. GgufNames.SandwichNorms, .. GgufNames.Mlp,
            ("router.proj", "ffn_gate_inp"), ("router.scale", "ffn_gate_inp.scale"), ("router.per_expert_scale", "ffn_down_exps.scale"),
            ("experts.*.gate_proj", "ffn_gate_up_exps"), ("experts.*.up_proj", "ffn_gate_up_exps"), ("experts.*.down_proj", "ffn_down_exps"),
            ("post_feedforward_layernorm_1", "post_ffw_norm_1"), ("pre_feedforward_layernorm_2", "pre_ffw_norm_2"), ("post_feedforward_layernorm_2", "post_ffw_norm_2"),
            ("per_layer_input_gate", "inp_gate"), ("per_layer_projection", "proj"), ("post_per_layer_input_norm", "post_norm"), ("layer_scalar", "layer_output_scale.weight"),
        ],
        Biased = [],
        Activations = [Activation.GeluTanh],
        ConfigKeys = new Dictionary<string, string> { ["hidden_act"] = "hidden_activation", ["head_dim"] = "global_head_dim", ["rope_theta"] = "" },
        ActivationName = "gelu_pytorch_tanh",
        BiasKeys = [],
        Unused = [".attn_k.weight", ".attn_v.weight", ".attn_k_norm.weight"],
        Fields =
        [
            new GgufField(Widths, WriteWidths, ReadWidths),
            new GgufField(KeyHeads, WriteKeyHeads, ReadLayers),
            new GgufField("attention.key_length", subject => (uint)Global(subject), _ => { }),
            new GgufField("attention.value_length", subject => (uint)Global(subject), _ => { }),
            new GgufField("attention.key_length_swa", subject => (uint)subject.Config.HeadSize, reading => reading.Json["head_dim"] = reading.Whole("attention.key_length_swa")),
            new GgufField("attention.value_length_swa", subject => (uint)subject.Config.HeadSize, _ => { }),
            new GgufField("rope.dimension_count", subject => (uint)Global(subject), _ => { }),
            new GgufField("rope.dimension_count_swa", subject => (uint)subject.Config.HeadSize, _ => { }),
            new GgufField("rope.freq_base", subject => (float)subject.Config.Rope.Theta, ReadRope),
            new GgufField("rope.freq_base_swa", subject => (float)subject.Reader.Rope(
                subject.Config.HeadSize, subject.Config.MaxPositions, new RopeRule { LayerType = Local, Scaled = false }).Theta, _ => { }),
            GgufField.Whole("attention.sliding_window", "sliding_window", 512),
            new GgufField(Pattern, subject => Types(subject).Select(type => type == Local).ToArray(), _ => { }),
            GgufField.Whole("attention.shared_kv_layers", "num_kv_shared_layers", 0),
            GgufField.Whole("embedding_length_per_layer_input", "hidden_size_per_layer_input", 256),
            GgufField.Real("final_logit_softcapping", "final_logit_softcapping"),
            Expert("expert_count", "num_experts"),
            Expert("expert_used_count", "top_k_experts"),
            Expert("expert_feed_forward_length", "moe_intermediate_size"),
            GgufField.Implied("enable_moe_block", reading => (reading.Whole("expert_count") ?? 0) > 0),
        ],
        Problems = subject => subject.Reader.Has("per_layer_config") ? [GgufLimits.Otherwise("per_layer_config", "given", "gemma4", "one size of heads for all global layers")] : [],
    };

    private static IReadOnlyList<string> Types(GgufSubject subject) =>
        subject.Reader.LayerTypes(subject.Config.Layers, layer => (layer + 1) % 6 == 0 || layer == subject.Config.Layers - 1);

    private static int Global(GgufSubject subject) => subject.Reader.Size("global_head_dim", 512);

    private static GgufField Expert(string key, string config) => new(
        key, subject => subject.Reader.Flag("enable_moe_block", false) ? (uint)subject.Reader.Size(config) : null,
        reading => reading.Json[config] = reading.Whole(key) is > 0 and { } value ? value : null);

    private static object WriteWidths(GgufSubject subject)
    {
        DecoderConfig config = subject.Config;
        int shared = subject.Reader.Flag("use_double_wide_mlp", false) ? subject.Reader.Count("num_kv_shared_layers", 0) : 0;
        return shared == 0 ? (uint)config.IntermediateSize
            : Enumerable.Range(0, config.Layers).Select(layer => (uint)(config.IntermediateSize * (layer >= config.Layers - shared ? 2 : 1))).ToArray();
    }

    private static void ReadWidths(GgufReading reading)
    {
        long[] widths = reading.Wholes(Widths, reading.Blocks) ?? throw Missing(reading, Widths);
        reading.Json["intermediate_size"] = widths.DefaultIfEmpty(0).First();
        reading.Json["use_double_wide_mlp"] = widths.Length > 0 && widths[^1] != widths[0];
    }

    private static object WriteKeyHeads(GgufSubject subject)
    {
        bool raw = subject.Reader.Flag("attention_k_eq_v", false);
        int global = raw ? subject.Reader.Size("num_global_key_value_heads", subject.Config.KeyValueHeads) : subject.Config.KeyValueHeads;
        return global == subject.Config.KeyValueHeads ? (uint)global : Types(subject).Select(type => (uint)(type == Local ? subject.Config.KeyValueHeads : global)).ToArray();
    }

    private static void ReadLayers(GgufReading reading)
    {
        int layers = reading.Blocks;
        bool[] windows = reading.Flags(Pattern) ?? throw Missing(reading, Pattern);
        long[] keys = reading.Wholes(KeyHeads, layers) ?? reading.Wholes("attention.head_count", layers) ?? throw Missing(reading, KeyHeads);
        if (windows.Length < layers || keys.Length < layers) throw new CheckpointException($"{reading.File.Location}: '{reading.Name(Pattern)}' must be given for {layers} layers.");
        int[] global = [.. Enumerable.Range(0, layers).Where(layer => !windows[layer])], local = [.. Enumerable.Range(0, layers).Where(layer => windows[layer])];
        reading.Json["layer_types"] = new JsonArray([.. windows.Take(layers).Select(window => JsonValue.Create(window ? Local : "full_attention"))]);
        reading.Json["num_key_value_heads"] = keys[local.Length > 0 ? local[0] : 0];
        if (global.Length == 0) return;
        reading.Json["num_global_key_value_heads"] = keys[global[0]];
        reading.Json["attention_k_eq_v"] = !global.Any(layer => reading.File.Contains($"blk.{layer}.attn_v.weight"));
    }

    // Of a table of divisors, the pairs that are not held still.
    private static void ReadRope(GgufReading reading)
    {
        double part = 1;
        if (reading.File.Contains(GgufNames.RopeFactors))
        {
            var table = new float[reading.File.ShapeOf(GgufNames.RopeFactors).Aggregate(1L, (product, size) => product * size)];
            reading.File.ReadSingles(GgufNames.RopeFactors, table);
            int moving = table.TakeWhile(value => value == 1).Count();
            if (table.Length == 0 || table.Skip(moving).Any(value => value < 1e20f))
                throw new UnsupportedModelException($"{reading.File.Location}: tensor '{GgufNames.RopeFactors}' scales frequencies; ones and pairs that stand still are supported.");
            part = (double)moving / table.Length;
        }
        reading.Json["rope_parameters"] = new JsonObject
        {
            ["full_attention"] = new JsonObject { ["rope_type"] = "proportional", ["rope_theta"] = reading.Number("rope.freq_base") ?? 1e6, ["partial_rotary_factor"] = part },
            [Local] = new JsonObject { ["rope_type"] = "default", ["rope_theta"] = reading.Number("rope.freq_base_swa") ?? 10000 },
        };
    }

    private static CheckpointException Missing(GgufReading reading, string key) => new($"{reading.File.Location}: '{reading.Name(key)}' is missing; this architecture needs it.");
}
