using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>
/// MiMo V2 Flash: values of another head size and scaled; windowed layers with twice the key heads, sinks and a base of their own; experts by sigmoid routers with
/// corrections in the layers that <c>mlp_layer_types</c> names.
/// </summary>
internal sealed class MimoFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["mimo_v2_flash"];

    /// <inheritdoc/>
    public string Description => "MiMo V2 Flash: experts, windowed layers with sinks, values of another head size";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [MimoGguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        var rule = new RopeRule { Theta = 5e6, Partial = 0.334 };
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, HeadSize = 192, Rope = rule });
        RopeConfig local = reader.Rope(config.HeadSize, config.MaxPositions, rule with { Theta = 10000, LayerType = "sliding_attention" });
        IReadOnlyList<string> types = reader.LayerTypes(config.Layers, layer => layer % 6 == 0);
        IReadOnlyList<string> feeds = reader.Words("mlp_layer_types", config.Layers) ?? [.. Enumerable.Range(0, config.Layers).Select(layer => layer == 0 ? "dense" : "sparse")];
        // The hub's key leaves the token itself out.
        int window = reader.Has("sliding_window_size") ? reader.Size("sliding_window_size") + 1 : reader.Window("sliding_window", 128);
        int values = reader.Size("v_head_dim", 128), count = reader.Size("n_routed_experts"), width = reader.Size("moe_intermediate_size");
        float factor = (float)(reader.Number("attention_value_scale") ?? 0.707);
        Routing routing = Moe.Sigmoid(reader, count);
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                bool slides = types[parts.Index] == "sliding_attention";
                AttentionShape shape = Standard.Shape(config, slides ? window : 0) with { KeyValueHeads = (slides ? 2 : 1) * config.KeyValueHeads, ValueHead = values };
                Attention attention = Standard.Attention(parts, config, default, default, shape, slides ? local : config.Rope) with { ValueFactor = factor };
                if (slides) attention = attention with { Sinks = parts.Tensor("self_attn.attention_sink_bias", config.Heads) };
                return Standard.PreNorm(parts, config, attention, feeds[parts.Index] == "dense" ? Standard.GatedMlp(parts, config) : Moe.Corrected(
                    parts, routing, "mlp.gate", "mlp.gate.e_score_correction_bias",
                    new ExpertParts("mlp.experts", count, config.HiddenSize, width) { Activation = config.Activation }));
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
