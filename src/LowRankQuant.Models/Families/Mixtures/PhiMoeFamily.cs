using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>Phi-3.5-MoE: LayerNorm with bias, biases of attention and head, LongRoPE with factors of its own, two experts chosen and weighed by sparsemixer.</summary>
internal sealed class PhiMoeFamily : IModelFamily
{
    private const string Prefix = "block_sparse_moe";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["phimoe"];

    /// <inheritdoc/>
    public string Description => "Phi-3.5-MoE: experts, LongRoPE";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [PhiGguf.Moe];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f });
        BiasRule bias = reader.Bias("attention_bias", false);
        bool headBias = reader.Flag("lm_head_bias", false);
        int count = reader.Size("num_local_experts", 16);
        AttentionShape shape = Standard.Shape(config, reader.Window("sliding_window"));
        var routing = new Routing
        {
            Experts = count,
            Chosen = reader.Size("num_experts_per_tok", 2),
            Score = RouterScore.SparseMixer,
            Threshold = 2 * (float)(reader.Number("router_jitter_noise") ?? 0.01),
        };
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.LayerNormed(
                parts, config, "input_layernorm", "post_attention_layernorm", Standard.Attention(parts, config, bias, bias, shape, config.Rope),
                Moe.Experts(parts, routing, $"{Prefix}.gate", new ExpertParts($"{Prefix}.experts", count, config.HiddenSize, config.IntermediateSize)
                {
                    Names = Moe.Numbered,
                    Activation = config.Activation,
                })),
            FinalNorm = parts => parts.LayerNorm("model.norm", config.HiddenSize, config.NormEpsilon),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { Bias = headBias ? parts.Tensor("lm_head.bias", config.VocabularySize) : null },
        };
    }
}
