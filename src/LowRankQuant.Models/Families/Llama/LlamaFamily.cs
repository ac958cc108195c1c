using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// Llama 1, 2 and 3, SmolLM2, TinyLlama: pre-norm RMSNorm, rotary grouped-query attention, SwiGLU. <c>post_attention_layernorm</c> is the norm in
/// front of the MLP here.
/// </summary>
internal sealed class LlamaFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["llama"];

    /// <inheritdoc/>
    public string Description => "Llama 1, 2 and 3, and everything of that shape: SmolLM2, TinyLlama, Vicuna";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LlamaGguf.Dense];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder();
        BiasRule attention = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.PreNorm(parts, config, Standard.Attention(parts, config, attention), Standard.GatedMlp(parts, config, mlp)),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
