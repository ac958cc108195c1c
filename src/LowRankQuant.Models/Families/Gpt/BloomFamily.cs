using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>BLOOM: ALiBi (score + slope * j), a LayerNorm behind the embedding, q, k and v of every head together in one matrix, tanh GELU, an MLP of four times the width.</summary>
internal sealed class BloomFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["bloom"];

    /// <inheritdoc/>
    public string Description => "BLOOM and BLOOMZ: ALiBi in the place of a rotation, a norm behind the embedding, a plain MLP";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GptGguf.Bloom];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_epsilon",
            Epsilon = 1e-5f,
            Tied = true,
            Activation = "gelu_new",
            ActivationKey = "gelu_of_bloom",
            Intermediate = FamilyDefaults.FourTimes,
            IntermediateKey = "width_of_bloom",
            Rope = null,
        });
        if (reader.Flag("apply_residual_connection_post_layernorm", false)) throw reader.Unsupported("apply_residual_connection_post_layernorm", "true");
        return new Architecture
        {
            Config = config,
            Base = "transformer.",
            BaseNames = ["word_embeddings", "word_embeddings_layernorm", "h", "ln_f"],
            Roots = ["transformer.", "lm_head."],
            EmbeddingName = "transformer.word_embeddings.weight",
            Blocks = "transformer.h.",
            Embedding = (parts, table) => new InputEmbedding
            {
                Table = table,
                HiddenSize = config.HiddenSize,
                Norm = parts.LayerNorm("transformer.word_embeddings_layernorm", config.HiddenSize, config.NormEpsilon),
                Parts = parts,
            },
            Block = parts => Standard.LayerNormed(
                parts, config, "input_layernorm", "post_attention_layernorm",
                Standard.FusedAttention(
                    parts, config, "self_attention", "self_attention.query_key_value", "self_attention.dense", Standard.Shape(config), null, BiasRule.Always, BiasRule.Always,
                    FusedRows.ByKeyHead) with
                { KeyBias = parts.Alibi(config.Heads, (slope, position) => (float)(slope * position)) },
                Standard.PlainMlp(parts, config, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", BiasRule.Always)),
            FinalNorm = parts => parts.LayerNorm("transformer.ln_f", config.HiddenSize, config.NormEpsilon),
        };
    }
}
