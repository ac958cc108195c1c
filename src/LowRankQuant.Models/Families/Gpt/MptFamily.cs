using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>MPT: ALiBi, LayerNorm without bias, q, k and v in one matrix and held within <c>clip_qkv</c>, no biases, tied.</summary>
internal sealed class MptFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["mpt"];

    /// <inheritdoc/>
    public string Description => "MPT: ALiBi, no biases, tied embeddings";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GptGguf.Mpt];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        int ratio = reader.Size("expansion_ratio", 4);
        DecoderConfig read = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_epsilon",
            Epsilon = 1e-5f,
            Tied = true,
            Activation = "gelu",
            Intermediate = FamilyDefaults.FourTimes,
            Rope = null,
        });
        DecoderConfig config = read with { IntermediateSize = ratio * read.HiddenSize };
        ConfigReader attention = reader.Part("attn_config");
        if (attention.Flag("qk_ln", false)) throw reader.Unsupported("attn_config.qk_ln", "true");
        if (attention.Text("attn_type") is { } type and not "multihead_attention") throw reader.Unsupported("attn_config.attn_type", type);
        if (!attention.Flag("alibi", true)) throw reader.Unsupported("attn_config.alibi", "false");
        if (!reader.Flag("no_bias", true)) throw reader.Unsupported("no_bias", "false");
        AttentionShape shape = Standard.Shape(config with { AttentionScale = (float?)attention.Number("softmax_scale") });
        float? clip = (float?)attention.Number("clip_qkv");
        return Mosaic.Of(config, parts => Standard.LayerNormed(
            parts, config, "norm_1", "norm_2",
            Standard.FusedAttention(parts, config, "attn", "attn.Wqkv", "attn.out_proj", shape, null, default, default, FusedRows.Blocks) with
            {
                Clip = clip,
                KeyBias = parts.Alibi(config.Heads, (slope, position) => (float)(slope * position)),
            },
            Standard.PlainMlp(parts, config, "ffn.up_proj", "ffn.down_proj", default), bias: false));
    }
}
