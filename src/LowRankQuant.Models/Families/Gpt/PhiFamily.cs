using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>Phi 1, 1.5 and 2: attention and MLP side by side on one LayerNorm, partial rotation, biases everywhere, the head included.</summary>
internal sealed class PhiFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["phi"];

    /// <inheritdoc/>
    public string Description => "Phi 1, 1.5 and 2: attention and MLP side by side";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [PhiGguf.Second];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_eps",
            Epsilon = 1e-5f,
            Activation = "gelu_new",
            Rope = new RopeRule { Partial = 0.5 },
        });
        if (reader.Flag("qk_layernorm", false)) throw reader.Unsupported("qk_layernorm", "true");
        return new Architecture
        {
            Config = config,
            Block = parts => new ParallelBody
            {
                MixerNorm = parts.LayerNorm("input_layernorm", config.HiddenSize, config.NormEpsilon),
                Mixer = Attention(parts, config),
                Mlp = Standard.PlainMlp(parts, config, "mlp.fc1", "mlp.fc2", BiasRule.Always),
            },
            FinalNorm = parts => parts.LayerNorm("model.final_layernorm", config.HiddenSize, config.NormEpsilon),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { Bias = parts.Tensor("lm_head.bias", config.VocabularySize) },
            BaseNames = ["embed_tokens", "final_layernorm", "layers"],
        };
    }

    private static Attention Attention(BlockParts parts, DecoderConfig config)
    {
        AttentionShape shape = Standard.Shape(config);
        int d = config.HiddenSize, q = shape.Heads * shape.HeadSize, k = shape.KeyValueHeads * shape.HeadSize;
        return new Attention
        {
            Query = parts.Linear("self_attn.q_proj", q, d, BiasRule.Always),
            Key = parts.Linear("self_attn.k_proj", k, d, BiasRule.Always),
            Value = parts.Linear("self_attn.v_proj", k, d, BiasRule.Always),
            Output = parts.Linear("self_attn.dense", d, q, BiasRule.Always),
            Shape = shape,
            Rope = parts.Rope(config.Rope),
        };
    }
}
