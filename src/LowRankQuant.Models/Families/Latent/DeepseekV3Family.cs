using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Latent;

/// <summary>
/// DeepSeek-V3 and R1, and Kimi K2, which has its names: latent attention; experts by sigmoids with corrections, in the groups whose two best are best. Kimi-K2.5 nests it as the
/// text model of a multimodal one.
/// </summary>
internal sealed class DeepseekV3Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["deepseek_v3", "kimi_k2", "kimi_k25"];

    /// <inheritdoc/>
    public string Description => "DeepSeek-V3, R1 and Kimi K2, also as the text model of Kimi-K2.5: latent attention, experts in groups";

    /// <inheritdoc/>
    public string? TextKey => "text_config";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LatentGguf.DeepseekV3];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        var model = new LatentModel(reader, new LatentRule
        {
            Common = new() { Positions = 4096 },
            Experts = 256,
            ExpertWidth = 2048,
            Dense = 3,
            Correction = "mlp.gate.e_score_correction_bias",
        });
        LatentModel.Known(reader, "scoring_func", "sigmoid");
        LatentModel.Known(reader, "topk_method", "noaux_tc");
        return model.Build(reader, Moe.Sigmoid(reader, model.Experts, new RoutingDefaults { Chosen = 8, Groups = 8, KeptGroups = 4, Factor = 2.5 }));
    }
}
