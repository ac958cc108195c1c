using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>SmolLM 3: Llama without rotation in every fourth layer (<c>no_rope_layers[i]</c> = 1 means rotation), where the window is if there is one.</summary>
internal sealed class SmolLm3Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["smollm3"];

    /// <inheritdoc/>
    public string Description => "SmolLM 3: Llama without rotation in every fourth layer";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [SmolLm3Gguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Tied = true });
        BiasRule attention = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        bool[] rotates = reader.RotatedLayers(config.Layers);
        int window = reader.Flag("use_sliding_window", false) ? reader.Window("sliding_window") : 0;
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                bool rotated = rotates[parts.Index];
                AttentionShape shape = Standard.Shape(config, rotated ? 0 : window);
                return Standard.PreNorm(
                    parts, config, Standard.Attention(parts, config, attention, attention, shape, rotated ? config.Rope : null), Standard.GatedMlp(parts, config, mlp));
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
