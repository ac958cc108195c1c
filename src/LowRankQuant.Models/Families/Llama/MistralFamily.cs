using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Models.Families.Latent;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// Mistral: Llama with a sliding window in every layer, where <c>sliding_window</c> is given. Ministral 3 (nested in <c>mistral3</c>): YaRN, and queries that grow
/// with their position, q *= 1 + beta ln(1 + floor(p / o)).
/// </summary>
internal sealed class MistralFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["mistral", "ministral3", "mistral3"];

    /// <inheritdoc/>
    public string Description => "Mistral and Ministral 3, also as the text model of the multimodal Mistral Small 3: windows, or YaRN";

    /// <inheritdoc/>
    public string? TextKey => "text_config";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LlamaGguf.Mistral, MistralGguf.Third, LatentGguf.Mistral4];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        if (reader.ModelType == Mistral4Family.ModelType) return Mistral4Family.Of(reader);
        bool nested = reader.IsNested;
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = reader.ModelType == "ministral3" ? 1e-5f : 1e-6f, HeadSize = reader.ModelType == "ministral3" ? 128 : null, Tied = nested });
        AttentionShape shape = Standard.Shape(config, reader.Window("sliding_window"));
        Func<int, float>? factor = Standard.GrowingQueries(reader.Part(RopeReader.Parameters).Number(Standard.GrowthKey), config.Rope);
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.PreNorm(
                parts, config, Standard.Attention(parts, config, default, default, shape, config.Rope) with { QueryFactor = factor }, Standard.GatedMlp(parts, config)),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
