using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>DBRX: LayerNorm without bias, q, k and v in one matrix and held within <c>clip_qkv</c>, experts stacked by rows, the chosen ones' weights over their norm.</summary>
internal sealed class DbrxFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["dbrx"];

    /// <inheritdoc/>
    public string Description => "DBRX: experts, and queries, keys and values that are held within bounds";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [MoeGguf.Dbrx];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        ConfigReader attention = reader.Part("attn_config"), feed = reader.Part("ffn_config");
        DecoderConfig read = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_epsilon",
            Epsilon = 1e-5f,
            KeyValueHeads = attention.Size("kv_n_heads", 1),
            Intermediate = feed.Size("ffn_hidden_size", 3584),
            Rope = new RopeRule { Theta = attention.Number("rope_theta") ?? 10000 },
        });
        DecoderConfig config = feed.Part("ffn_act_fn").Text("name") is { } name ? read with { Activation = feed.Part("ffn_act_fn").Activation("name", name) } : read;
        int count = feed.Size("moe_num_experts", 4);
        var routing = new Routing { Experts = count, Chosen = feed.Size("moe_top_k", 1), Norm = feed.Number("moe_normalize_expert_weights") ?? 1 };
        float? clip = (float?)attention.Number("clip_qkv");
        return Mosaic.Of(config, parts => Standard.LayerNormed(
            parts, config, "norm_attn_norm.norm_1", "norm_attn_norm.norm_2",
            Standard.FusedAttention(
                parts, config, "norm_attn_norm.attn", "norm_attn_norm.attn.Wqkv", "norm_attn_norm.attn.out_proj", Standard.Shape(config), config.Rope, default, default,
                FusedRows.Blocks) with
            { Clip = clip },
            Moe.Experts(parts, routing, "ffn.router.layer", new ExpertParts("ffn.experts.mlp", count, config.HiddenSize, config.IntermediateSize)
            {
                Names = ("w1", "v1", "w2"),
                Storage = ExpertStorage.Rows,
                Activation = config.Activation,
            }),
            bias: false));
    }
}
