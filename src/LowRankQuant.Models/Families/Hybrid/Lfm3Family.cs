using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>
/// LFM3: short convolutions beside attention over everything and in windows, each with a rotation of its own; a sigmoid gate for every head, and norms behind both parts of a block.
/// </summary>
internal sealed class Lfm3Family : IModelFamily
{
    private const string Full = "full_attention", Windowed = "sliding_attention", Convolution = "conv";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["lfm3"];

    /// <inheritdoc/>
    public string Description => "LFM3: short convolutions beside attention with gates, some of it in windows";

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        var rule = new RopeRule { Theta = 1e6, Partial = 0.5 };
        DecoderConfig config = reader.Decoder(new FamilyDefaults { EpsilonKey = "norm_eps", Epsilon = 1e-5f, Tied = true, HeadSize = 128, Positions = 128000, Rope = rule });
        RopeConfig local = reader.Rope(config.HeadSize, config.MaxPositions, new RopeRule { LayerType = Windowed });
        IReadOnlyList<string> types = reader.Words("layer_types", config.Layers)
            ?? [.. Enumerable.Range(0, config.Layers).Select(layer => layer % 4 == 2 ? Full : layer % 4 == 0 && layer > 0 ? Windowed : Convolution)];
        if (types.FirstOrDefault(type => type is not (Full or Windowed or Convolution)) is { } other) throw reader.Unsupported("layer_types", other);
        int window = reader.Window("sliding_window", 256), taps = reader.Size("conv_L_cache", 7);
        bool gated = reader.Flag("use_attention_gate", true), sandwich = reader.Flag("use_sandwich_norm", true);
        BiasRule bias = reader.Bias("attention_bias", false), convolution = reader.Bias("conv_bias", false);
        return new Architecture
        {
            Config = config,
            BaseNames = ["embed_tokens", "embedding_norm", "layers"],
            Block = parts => new SequentialBody
            {
                MixerNorm = Norm(parts, "operator_norm"),
                Mixer = types[parts.Index] == Convolution ? Lfm2Family.Convolution(parts, config.HiddenSize, taps, convolution) : Attention(parts),
                MixerPostNorm = sandwich ? Norm(parts, "post_operator_norm") : null,
                MlpNorm = Norm(parts, "ffn_norm"),
                Mlp = Lfm2Family.FeedForward(parts, config),
                MlpPostNorm = sandwich ? Norm(parts, "post_ffn_norm") : null,
            },
            FinalNorm = parts => Norm(parts, "model.embedding_norm"),
        };

        INorm Norm(BlockParts parts, string name) => parts.RmsNorm(name, config.HiddenSize, config.NormEpsilon);

        Attention Attention(BlockParts parts)
        {
            bool slides = types[parts.Index] == Windowed;
            return Standard.Attention(parts, config, bias, bias, Standard.Shape(config, slides ? window : 0), slides ? local : config.Rope) with
            {
                QueryNorm = parts.RmsNorm("self_attn.q_norm", config.HeadSize, config.NormEpsilon),
                KeyNorm = parts.RmsNorm("self_attn.k_norm", config.HeadSize, config.NormEpsilon),
                HeadGate = gated ? parts.KeptLinear("self_attn.gate_proj", config.Heads, config.HiddenSize) : null,
            };
        }
    }
}
