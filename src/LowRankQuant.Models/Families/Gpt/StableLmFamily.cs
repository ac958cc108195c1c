using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>
/// StableLM 2: LayerNorm with bias, partial rotation, biases of q, k and v by <c>use_qkv_bias</c>; the 12B model with attention and MLP side by side on one norm, and a
/// LayerNorm of every head of q and k with weights of its own.
/// </summary>
internal sealed class StableLmFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["stablelm"];

    /// <inheritdoc/>
    public string Description => "StableLM 2 and StableLM 3B";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [OtherGguf.StableLm];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { EpsilonKey = "layer_norm_eps", Epsilon = 1e-5f, Rope = new RopeRule { Partial = 0.25 } });
        BiasRule bias = reader.Bias("use_qkv_bias", false);
        bool parallel = reader.Flag("use_parallel_residual", false), norms = reader.Flag("qk_layernorm", false);
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                Attention attention = Standard.Attention(parts, config, bias, BiasRule.Never, Standard.Shape(config), config.Rope);
                if (norms) attention = attention with { QueryNorm = Heads(parts, config, "q", config.Heads), KeyNorm = Heads(parts, config, "k", config.KeyValueHeads) };
                GatedMlp mlp = Standard.GatedMlp(parts, config);
                return parallel
                    ? new ParallelBody { MixerNorm = parts.LayerNorm("input_layernorm", config.HiddenSize, config.NormEpsilon), Mixer = attention, Mlp = mlp }
                    : Standard.LayerNormed(parts, config, "input_layernorm", "post_attention_layernorm", attention, mlp);
            },
            FinalNorm = parts => parts.LayerNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }

    private static INorm Heads(BlockParts parts, DecoderConfig config, string which, int heads) => parts.LayerNormOfHeads(
        parts.Joined([.. Enumerable.Range(0, heads).Select(head => $"self_attn.{which}_layernorm.norms.{head}.weight")], config.HeadSize), config.HeadSize, config.NormEpsilon);
}
