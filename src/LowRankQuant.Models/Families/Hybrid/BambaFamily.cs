using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf.Hybrid;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>Bamba: Mamba-2 with attention in the layers of <c>attn_layer_indices</c>, half of every head rotated, which no key says.</summary>
internal sealed class BambaFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["bamba"];

    /// <inheritdoc/>
    public string Description => "Bamba: Mamba-2 beside attention";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GraniteHybridGguf.Bamba];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, Positions = 262144, Rope = new RopeRule { Partial = 0.5 } });
        StateSpaceParts mamba = StateSpaceParts.Mamba(reader, config);
        IReadOnlyList<int> attention = reader.Ids("attn_layer_indices");
        IReadOnlyList<string>? types = reader.Words("layer_types", config.Layers) ?? reader.Words("layers_block_type", config.Layers);
        BiasRule bias = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        return new Architecture
        {
            Config = config,
            BaseNames = ["embed_tokens", "final_layernorm", "layers"],
            Block = parts => new SequentialBody
            {
                MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon),
                Mixer = Attends(parts.Index) ? Standard.Attention(parts, config, bias) : mamba.Make(parts, config),
                MlpNorm = parts.RmsNorm("pre_ff_layernorm", config.HiddenSize, config.NormEpsilon),
                Mlp = Standard.GatedMlp(parts, config, "feed_forward", config.IntermediateSize, mlp),
            },
            FinalNorm = parts => parts.RmsNorm("model.final_layernorm", config.HiddenSize, config.NormEpsilon),
        };

        bool Attends(int layer) => reader.Has("attn_layer_indices") || types is null ? attention.Contains(layer) : types[layer] is "attention" or "full_attention";
    }
}
