using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Norms;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>Persimmon, Fuyu's language model: q, k and v of every head together in one matrix, LayerNorm of every head, partial rotation, squared ReLU without a gate, biases.</summary>
internal sealed class PersimmonFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["persimmon"];

    /// <inheritdoc/>
    public string Description => "Persimmon 8B, Fuyu's language model";

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_eps",
            Epsilon = 1e-5f,
            Activation = "relu2",
            Rope = new RopeRule { Theta = 25000, Partial = 0.5 },
        });
        bool norms = reader.Flag("qk_layernorm", true);
        return new Architecture
        {
            Config = config,
            BaseNames = ["embed_tokens", "final_layernorm", "layers"],
            Block = parts =>
            {
                Attention attention = Standard.FusedAttention(
                    parts, config, "self_attn", "self_attn.query_key_value", "self_attn.dense", Standard.Shape(config), config.Rope, BiasRule.Always, BiasRule.Always,
                    FusedRows.ByKeyHead);
                if (norms) attention = attention with { QueryNorm = Heads(parts, config, "q"), KeyNorm = Heads(parts, config, "k") };
                PlainMlp mlp = Standard.PlainMlp(parts, config, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", BiasRule.Always);
                return Standard.LayerNormed(parts, config, "input_layernorm", "post_attention_layernorm", attention, mlp);
            },
            FinalNorm = parts => parts.LayerNorm("model.final_layernorm", config.HiddenSize, config.NormEpsilon),
        };
    }

    private static HeadwiseNorm Heads(BlockParts parts, DecoderConfig config, string which) =>
        new(parts.LayerNorm($"self_attn.{which}_layernorm", config.HeadSize, config.NormEpsilon), config.HeadSize);
}
