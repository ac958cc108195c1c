using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// GLM-4 (0414): norms in front of and behind both parts, partial rotation of neighbouring pairs, gate and up in one matrix, biases of q, k and v. GLM-4.5 to 4.7
/// (<c>glm4_moe</c>): experts by sigmoid routers with corrections and groups beside an expert for every token, the first layers dense, perhaps norms of heads.
/// </summary>
internal sealed class Glm4Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["glm4", "glm4_moe"];

    /// <inheritdoc/>
    public string Description => "GLM-4 (0414), and GLM-4.5 to 4.7 with experts";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GlmGguf.Dense, GlmGguf.Sparse];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader) => reader.ModelType == "glm4" ? Dense(reader) : Sparse(reader);

    private static Architecture Dense(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1.5625e-7f, HeadSize = 128, Rope = new RopeRule { Partial = 0.5, Interleaved = true } });
        BiasRule bias = reader.Bias("attention_bias", true);
        return new Architecture
        {
            Config = config,
            Block = parts => new SequentialBody
            {
                MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon),
                Mixer = Standard.Attention(parts, config, bias, BiasRule.Never, Standard.Shape(config), config.Rope),
                MixerPostNorm = parts.RmsNorm("post_self_attn_layernorm", config.HiddenSize, config.NormEpsilon),
                MlpNorm = parts.RmsNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon),
                Mlp = Standard.FusedGatedMlp(parts, config),
                MlpPostNorm = parts.RmsNorm("post_mlp_layernorm", config.HiddenSize, config.NormEpsilon),
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }

    private static Architecture Sparse(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, HeadSize = 128, Rope = new RopeRule { Partial = 0.5 } });
        BiasRule bias = reader.Bias("attention_bias", false);
        bool norms = reader.Flag("use_qk_norm", false);
        int count = reader.Size("n_routed_experts"), width = reader.Size("moe_intermediate_size"), shared = width * reader.Size("n_shared_experts", 1), dense = reader.Count("first_k_dense_replace", 1);
        Routing routing = Moe.Sigmoid(reader, count);
        return new Architecture
        {
            Config = config,
            ExtraBlocks = reader.Count("num_nextn_predict_layers", 1),
            Block = parts => Standard.PreNorm(
                parts, config, QwenFamily.Attention(parts, config, 0, bias, BiasRule.Never, norms),
                parts.Index < dense ? Standard.GatedMlp(parts, config) : Moe.Corrected(
                    parts, routing, "mlp.gate", "mlp.gate.e_score_correction_bias", new ExpertParts("mlp.experts", count, config.HiddenSize, width) { Activation = config.Activation })
                with
                { Shared = Standard.GatedMlp(parts, config, "mlp.shared_experts", shared) }),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
