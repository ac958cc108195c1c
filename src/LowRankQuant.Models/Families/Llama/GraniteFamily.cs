using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>Granite 3 and 4 (dense): Llama with four multipliers, of the embedding, the scores, what is added to the stream, and the logits.</summary>
internal sealed class GraniteFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["granite"];

    /// <inheritdoc/>
    public string Description => "Granite 3 and 4 (dense): Llama with four multipliers";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GraniteGguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder() with { AttentionScale = Factor("attention_multiplier") };
        BiasRule attention = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        float embedding = Factor("embedding_multiplier"), residual = Factor("residual_multiplier"), logits = 1 / Factor("logits_scaling");
        return new Architecture
        {
            Config = config,
            Embedding = (parts, table) => new InputEmbedding { Table = table, HiddenSize = config.HiddenSize, Factor = embedding, Parts = parts },
            Block = parts => Standard.PreNorm(parts, config, Standard.Attention(parts, config, attention), Standard.GatedMlp(parts, config, mlp), residual),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { Factor = logits },
        };

        float Factor(string key) => (float)(reader.Number(key) ?? 1);
    }
}
