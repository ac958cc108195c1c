using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Latent;

/// <summary>GLM-4.7-Flash: latent attention, and DeepSeek-V3's experts without groups, in the layers that <c>mlp_layer_types</c> names.</summary>
internal sealed class Glm4MoeLiteFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["glm4_moe_lite"];

    /// <inheritdoc/>
    public string Description => "GLM-4.7-Flash: latent attention, experts by sigmoid routers";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LatentGguf.Glm4MoeLite];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        var model = new LatentModel(reader, new LatentRule
        {
            Common = new() { Epsilon = 1e-5f, Positions = 202752 },
            QueryRank = 768,
            Plain = 192,
            Values = 256,
            Experts = 64,
            ExpertWidth = 1536,
            Dense = 1,
            Correction = "mlp.gate.e_score_correction_bias",
        });
        LatentModel.Known(reader, "scoring_func", "sigmoid");
        LatentModel.Known(reader, "topk_method", "noaux_tc");
        return model.Build(reader, Moe.Sigmoid(reader, model.Experts, new RoutingDefaults { Chosen = 4, Factor = 1.8 }));
    }
}
