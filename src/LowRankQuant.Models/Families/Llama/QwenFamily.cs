using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// Qwen 2 and 2.5: biases on q, k and v and never on o, which no key says; with <c>use_sliding_window</c> a window in the layers from
/// <c>max_window_layers</c> on. Qwen 3: no biases, RMSNorm of every head of q and k in front of the rotation.
/// </summary>
internal sealed class QwenFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["qwen2", "qwen3"];

    /// <inheritdoc/>
    public string Description => "Qwen 1.5, 2, 2.5 and 3 (dense), QwQ";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [QwenGguf.Second, QwenGguf.Third];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool isThird = reader.ModelType == "qwen3";
        DecoderConfig config = reader.Decoder(new FamilyDefaults { HeadSize = isThird ? 128 : null });
        int[] windows = reader.SwitchedWindows(config.Layers);
        BiasRule bias = isThird ? reader.Bias("attention_bias", false) : BiasRule.Always, output = isThird ? bias : BiasRule.Never;
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.PreNorm(parts, config, Attention(parts, config, windows[parts.Index], bias, output, isThird), Standard.GatedMlp(parts, config)),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }

    /// <summary>Attention with norms of heads or without.</summary>
    public static Attention Attention(BlockParts parts, DecoderConfig config, int window, BiasRule bias, BiasRule output, bool norms)
    {
        Attention attention = Standard.Attention(parts, config, bias, output, Standard.Shape(config, window), config.Rope);
        return norms ? attention with
        {
            QueryNorm = parts.RmsNorm("self_attn.q_norm", config.HeadSize, config.NormEpsilon),
            KeyNorm = parts.RmsNorm("self_attn.k_norm", config.HeadSize, config.NormEpsilon),
        } : attention;
    }
}
