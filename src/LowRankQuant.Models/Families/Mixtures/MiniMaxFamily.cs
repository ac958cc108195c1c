using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>MiniMax M2: RMSNorm over the whole rows of q and k, partial rotation, experts in every layer by a sigmoid router with corrections.</summary>
internal sealed class MiniMaxFamily : IModelFamily
{
    private const string Prefix = "block_sparse_moe";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["minimax_m2"];

    /// <inheritdoc/>
    public string Description => "MiniMax M2: experts in every layer, norms over whole queries and keys";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [MoeGguf.MiniMax];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Rope = new RopeRule { Theta = 5e6, RotatedKey = "rotary_dim" }, HeadSize = 128 });
        int count = reader.Size("num_local_experts");
        var routing = new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok"), Score = RouterScore.Sigmoid, Norm = 1, NormEpsilon = 1e-20 };
        return new Architecture
        {
            Config = config,
            ExtraBlocks = reader.Count("num_mtp_modules", 0),
            Block = parts => Standard.PreNorm(
                parts, config,
                Standard.Attention(parts, config, default) with
                {
                    QueryNorm = parts.RmsNorm("self_attn.q_norm", config.Heads * config.HeadSize, config.NormEpsilon),
                    KeyNorm = parts.RmsNorm("self_attn.k_norm", config.KeyValueHeads * config.HeadSize, config.NormEpsilon),
                },
                Moe.Corrected(
                    parts, routing, $"{Prefix}.gate", $"{Prefix}.e_score_correction_bias",
                    new ExpertParts($"{Prefix}.experts", count, config.HiddenSize, config.IntermediateSize) { Names = Moe.Numbered, Activation = config.Activation })),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
