using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>StarCoder 2: LayerNorm with bias (<c>norm_epsilon</c>), a plain MLP, biases everywhere by <c>use_bias</c>, a window, tied where no key says otherwise.</summary>
internal sealed class Starcoder2Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["starcoder2"];

    /// <inheritdoc/>
    public string Description => "StarCoder 2: a plain MLP, biases, a window";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [OtherGguf.Starcoder2];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { EpsilonKey = "norm_epsilon", Epsilon = 1e-5f, Tied = true, Activation = "gelu_pytorch_tanh" });
        BiasRule bias = reader.Bias("use_bias", true);
        AttentionShape shape = Standard.Shape(config, reader.Window("sliding_window"));
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.LayerNormed(
                parts, config, "input_layernorm", "post_attention_layernorm", Standard.Attention(parts, config, bias, bias, shape, config.Rope),
                Standard.PlainMlp(parts, config, "mlp.c_fc", "mlp.c_proj", bias)),
            FinalNorm = parts => parts.LayerNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
