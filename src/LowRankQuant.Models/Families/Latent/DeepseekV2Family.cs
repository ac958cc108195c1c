using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Latent;

/// <summary>
/// DeepSeek-V2: latent attention; experts by their share of the softmax, greedily or in the groups whose best expert is best, weighed by that share times a factor.
/// </summary>
internal sealed class DeepseekV2Family : IModelFamily
{
    private const string Grouped = "group_limited_greedy";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["deepseek_v2"];

    /// <inheritdoc/>
    public string Description => "DeepSeek-V2 and V2-Lite: latent attention, experts by their share of the softmax";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LatentGguf.DeepseekV2];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        var model = new LatentModel(reader, new LatentRule { SaysPairs = false, Experts = 64, ExpertWidth = 1407, Shared = 2 });
        LatentModel.Known(reader, "scoring_func", "softmax");
        bool grouped = LatentModel.Known(reader, "topk_method", "greedy", Grouped) == Grouped;
        // The implementations do not agree on what true means here, and no published model says it.
        if (reader.Flag("norm_topk_prob", false)) throw reader.Unsupported("norm_topk_prob", "true");
        Routing routing = Moe.Grouped(reader, model.Experts, new RoutingDefaults { Normalized = false }) with { GroupBest = 1 };
        return model.Build(reader, grouped ? routing : routing with { Groups = 1, KeptGroups = 1 });
    }
}
