using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Tests.Families;

/// <summary>Llama with RMSNorm of every head of q and k in front of the rotation, and windows in all layers but every fourth.</summary>
internal sealed class ExampleFamily : IModelFamily
{
    public IReadOnlyList<string> ModelTypes => ["example"];

    public string Description => "An example";

    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-6f, HeadSize = 128 });
        BiasRule bias = reader.Bias("attention_bias", false);
        int window = reader.Window("sliding_window");
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                bool slides = (parts.Index + 1) % 4 != 0;
                Attention attention = Standard.Attention(parts, config, bias, bias, Standard.Shape(config, slides ? window : 0), config.Rope) with
                {
                    QueryNorm = parts.RmsNorm("self_attn.q_norm", config.HeadSize, config.NormEpsilon),
                    KeyNorm = parts.RmsNorm("self_attn.k_norm", config.HeadSize, config.NormEpsilon),
                };
                return Standard.PreNorm(parts, config, attention, Standard.GatedMlp(parts, config));
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
