using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>Nemotron and Minitron: LayerNorm that multiplies by 1 + w, an MLP of squared ReLU without a gate, partial rotation.</summary>
internal sealed class NemotronFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["nemotron"];

    /// <inheritdoc/>
    public string Description => "Nemotron 4 and Minitron: an MLP of squared ReLU without a gate";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [OtherGguf.Nemotron];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { EpsilonKey = "norm_eps", Epsilon = 1e-5f, Activation = "relu2", Rope = new RopeRule { Partial = 0.5 } });
        BiasRule attention = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        return new Architecture
        {
            Config = config,
            Block = parts => new SequentialBody
            {
                Mixer = Standard.Attention(parts, config, attention),
                Mlp = Standard.PlainMlp(parts, config, "mlp.up_proj", "mlp.down_proj", mlp),
                MixerNorm = parts.LayerNorm("input_layernorm", config.HiddenSize, config.NormEpsilon, offset: 1),
                MlpNorm = parts.LayerNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon, offset: 1),
            },
            FinalNorm = parts => parts.LayerNorm("model.norm", config.HiddenSize, config.NormEpsilon, offset: 1),
        };
    }
}
