using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>
/// Falcon: one key head (7B), keys by groups with two norms or one (40B, 11B), or a key for every head and ALiBi with blocks one behind the other (RW). ALiBi is
/// divided by sqrt(head size) and rounded to bfloat16, as its code does.
/// </summary>
internal sealed class FalconFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["falcon"];

    /// <inheritdoc/>
    public string Description => "Falcon 7B, 11B, 40B and RW: one key head, or one for a group of queries, or ALiBi";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [FalconGguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool grouped = reader.Flag("new_decoder_architecture", false), single = reader.Flag("multi_query", true), alibi = reader.Flag("alibi", false);
        bool parallel = grouped || reader.Flag("parallel_attn", true), twoNorms = grouped && reader.Size("num_ln_in_parallel_attn", 2) == 2;
        DecoderConfig read = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_epsilon",
            Epsilon = 1e-5f,
            Tied = true,
            Activation = "gelu",
            ActivationKey = "activation",
            Intermediate = FamilyDefaults.FourTimes,
            IntermediateKey = "ffn_hidden_size",
        });
        DecoderConfig config = grouped ? read : read with { KeyValueHeads = single ? 1 : read.Heads };
        AttentionShape shape = Standard.Shape(config);
        FusedRows rows = !grouped && single ? FusedRows.Blocks : FusedRows.ByKeyHead;
        var bias = new BiasRule("bias", reader.Flag("bias", false));
        int d = config.HiddenSize;
        return new Architecture
        {
            Config = config,
            Base = "transformer.",
            BaseNames = ["word_embeddings", "h", "ln_f"],
            Roots = ["transformer.", "lm_head."],
            EmbeddingName = "transformer.word_embeddings.weight",
            Blocks = "transformer.h.",
            Block = parts =>
            {
                Attention attention = Standard.FusedAttention(
                    parts, config, "self_attention", "self_attention.query_key_value", "self_attention.dense", shape, alibi ? null : config.Rope, bias, bias, rows);
                if (alibi) attention = attention with { KeyBias = parts.Alibi(config.Heads, (slope, position) => shape.Scale * Rounded(Rounded((float)slope) * position)) };
                PlainMlp mlp = Standard.PlainMlp(parts, config, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", bias);
                if (!parallel) return Standard.LayerNormed(parts, config, "input_layernorm", "post_attention_layernorm", attention, mlp);
                return new ParallelBody
                {
                    MixerNorm = parts.LayerNorm(twoNorms ? "ln_attn" : "input_layernorm", d, config.NormEpsilon),
                    Mixer = attention,
                    MlpNorm = twoNorms ? parts.LayerNorm("ln_mlp", d, config.NormEpsilon) : null,
                    Mlp = mlp,
                };
            },
            FinalNorm = parts => parts.LayerNorm("transformer.ln_f", d, config.NormEpsilon),
        };
    }

    private static float Rounded(float value) => Numerics.Quantized.StorageScale.RoundAny(value, Numerics.Quantized.ScaleType.BFloat16);
}
