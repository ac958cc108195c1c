using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Latent;

/// <summary>
/// The text model of Mistral Small 4: latent attention with YaRN and queries that grow with their position; experts in stacks by their share of the softmax, over the chosen
/// ones' sum. Published nested in <c>mistral3</c>.
/// </summary>
internal sealed class Mistral4Family : IModelFamily
{
    /// <summary>Its <c>model_type</c>, also within a multimodal model.</summary>
    public const string ModelType = "mistral4";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => [ModelType];

    /// <inheritdoc/>
    public string Description => "Mistral Small 4, also as the text model of the multimodal one: latent attention, YaRN, experts";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LatentGguf.Mistral4];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader) => Of(reader);

    /// <summary>The model of a configuration.</summary>
    public static Architecture Of(ConfigReader reader)
    {
        var model = new LatentModel(reader, new LatentRule
        {
            Common = new() { Positions = 1048576, Intermediate = 12288, Tied = reader.IsNested },
            QueryRank = 1024,
            Rank = 256,
            Plain = 64,
            Rope = new RopeRule
            {
                Scaling = new() { ["rope_type"] = "yarn", ["factor"] = 128, ["original_max_position_embeddings"] = 8192, ["mscale"] = 1, ["mscale_all_dim"] = 1 },
            },
            Growth = 0.1,
            Experts = 128,
            ExpertWidth = 2048,
            Stacked = true,
        });
        LatentModel.Known(reader, "scoring_func", "softmax");
        return model.Build(reader, Moe.Grouped(reader, model.Experts, new RoutingDefaults { Chosen = 4 }));
    }
}
