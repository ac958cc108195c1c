using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>
/// GPT-NeoX, Pythia: q, k and v of every head together in one matrix, partial rotation, attention and MLP side by side on two norms of the same stream, or one behind
/// the other (<c>use_parallel_residual</c> false); head <c>embed_out</c>.
/// </summary>
internal sealed class GptNeoxFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["gpt_neox"];

    /// <inheritdoc/>
    public string Description => "GPT-NeoX, Pythia, Dolly 2";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GptGguf.NeoX];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_eps",
            Epsilon = 1e-5f,
            Activation = "gelu",
            Rope = new RopeRule { ThetaKey = "rotary_emb_base", Partial = 0.25, PartialKey = "rotary_pct" },
        });
        bool parallel = reader.Flag("use_parallel_residual", true);
        var bias = new BiasRule(null, reader.Flag("attention_bias", true));
        int d = config.HiddenSize;
        return new Architecture
        {
            Config = config,
            Base = "gpt_neox.",
            BaseNames = ["embed_in", "layers", "final_layer_norm"],
            Roots = ["gpt_neox.", "embed_out."],
            EmbeddingName = "gpt_neox.embed_in.weight",
            HeadName = "embed_out.weight",
            Blocks = "gpt_neox.layers.",
            Buffers = [".attention.bias", ".attention.masked_bias"],
            Block = parts =>
            {
                Attention attention = Standard.FusedAttention(
                    parts, config, "attention", "attention.query_key_value", "attention.dense", Standard.Shape(config), config.Rope, bias, bias, FusedRows.ByKeyHead);
                PlainMlp mlp = Standard.PlainMlp(parts, config, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", BiasRule.Always);
                if (!parallel) return Standard.LayerNormed(parts, config, "input_layernorm", "post_attention_layernorm", attention, mlp);
                return new ParallelBody
                {
                    MixerNorm = parts.LayerNorm("input_layernorm", d, config.NormEpsilon),
                    Mixer = attention,
                    MlpNorm = parts.LayerNorm("post_attention_layernorm", d, config.NormEpsilon),
                    Mlp = mlp,
                };
            },
            FinalNorm = parts => parts.LayerNorm("gpt_neox.final_layer_norm", d, config.NormEpsilon),
        };
    }
}
