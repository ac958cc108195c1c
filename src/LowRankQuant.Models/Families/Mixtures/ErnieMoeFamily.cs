using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>
/// ERNIE 4.5 with experts: chosen by probability and correction, weighed by probability over the chosen ones' sum, beside MLPs for every token; rotation of
/// neighbouring pairs.
/// </summary>
internal sealed class ErnieMoeFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["ernie4_5_moe"];

    /// <inheritdoc/>
    public string Description => "ERNIE 4.5 with experts, beside MLPs for every token";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [MoeGguf.Ernie];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, Tied = true, Rope = new RopeRule { Interleaved = true } });
        BiasRule bias = reader.Bias("use_bias", false);
        int count = reader.Size("moe_num_experts"), width = reader.Size("moe_intermediate_size"), shared = reader.Count("moe_num_shared_experts", 2);
        int every = reader.Size("moe_layer_interval", 1), first = reader.Count("moe_layer_start_index", 1);
        int last = (int)(reader.Number("moe_layer_end_index") ?? -1) is >= 0 and var end ? end : config.Layers - 1;
        var routing = new Routing { Experts = count, Chosen = reader.Size("moe_k", 6), Norm = 1, NormFloor = reader.Number("moe_norm_min") ?? 1e-12 };
        return new Architecture
        {
            Config = config,
            ExtraBlocks = reader.Count("num_nextn_predict_layers", 0),
            Block = parts =>
            {
                bool sparse = (parts.Index + 1) % every == 0 && parts.Index >= first && parts.Index <= last;
                return Standard.PreNorm(parts, config, Standard.Attention(parts, config, bias), sparse ? Sparse(parts) : Standard.GatedMlp(parts, config, bias));
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };

        Experts Sparse(BlockParts parts)
        {
            Experts experts = Moe.Corrected(
                parts, routing, "mlp.gate", "mlp.moe_statics.e_score_correction_bias",
                new ExpertParts("mlp.experts", count, config.HiddenSize, width) { Activation = config.Activation, Biased = bias.IsOn }, 1, count);
            return shared == 0 ? experts : experts with { Shared = Standard.GatedMlp(parts, config, "mlp.shared_experts", width * shared, bias) };
        }
    }
}
