using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families;

/// <summary>Parts of families with experts.</summary>
internal static class Moe
{
    /// <summary>Names of gate, up and down that are numbers.</summary>
    public static (string Gate, string Up, string Down) Numbered => ("w1", "w3", "w2");

    /// <summary>Experts behind a router whose weight is <c>ROUTER.weight</c>.</summary>
    /// <param name="parts">Of the block.</param>
    /// <param name="routing">How the router chooses.</param>
    /// <param name="router">Its name.</param>
    /// <param name="experts">The experts.</param>
    public static Experts Experts(BlockParts parts, Routing routing, string router, ExpertParts experts) => new()
    {
        Router = new Router { Projection = parts.KeptLinear(router, experts.Count, experts.Hidden), Routing = routing, Choice = parts.Choice(routing) },
        Items = experts.Make(parts),
    };

    /// <summary>The same where choices are corrected by a tensor of the checkpoint, [experts] or another shape of as many elements.</summary>
    public static Experts Corrected(BlockParts parts, Routing routing, string router, string correction, ExpertParts experts, params int[] shape) => Experts(
        parts, routing with { Correction = parts.Tensor(correction, shape.Length == 0 ? [experts.Count] : shape).ToArray() }, router, experts);

    /// <summary>
    /// Routing by sigmoids with corrections, as DeepSeek-V3 has it: groups are kept by their two best, weights divided by their sum where
    /// <c>norm_topk_prob</c> says so, times <c>routed_scaling_factor</c>.
    /// </summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="experts">Experts.</param>
    /// <param name="usual">What absent keys mean; null for no groups, normalized weights and no factor.</param>
    public static Routing Sigmoid(ConfigReader reader, int experts, RoutingDefaults? usual = null) => Grouped(reader, experts, usual ?? new RoutingDefaults()) with { Score = RouterScore.Sigmoid };

    /// <summary>The same by the softmax over all experts.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="experts">Experts.</param>
    /// <param name="usual">What absent keys mean.</param>
    public static Routing Grouped(ConfigReader reader, int experts, RoutingDefaults usual) => new()
    {
        Experts = experts,
        Chosen = reader.Size("num_experts_per_tok", usual.Chosen),
        Groups = reader.Size("n_group", usual.Groups),
        KeptGroups = reader.Size("topk_group", usual.KeptGroups),
        Norm = reader.Flag("norm_topk_prob", usual.Normalized) ? 1 : null,
        NormEpsilon = 1e-20,
        Factor = (float)(reader.Number("routed_scaling_factor") ?? usual.Factor),
    };
}

/// <summary>What a configuration means where it does not say how experts are chosen.</summary>
internal sealed record RoutingDefaults
{
    /// <summary>Experts of a token; null where it must be given.</summary>
    public int? Chosen { get; init; }

    /// <summary>Groups of experts.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Groups that are kept.</summary>
    public int KeptGroups { get; init; } = 1;

    /// <summary>Whether weights are divided by their sum.</summary>
    public bool Normalized { get; init; } = true;

    /// <summary>Multiplies all weights.</summary>
    public double Factor { get; init; } = 1;
}
