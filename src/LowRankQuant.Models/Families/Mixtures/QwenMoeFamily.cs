using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Models.Families.Llama;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>
/// Qwen 2 MoE and Qwen 3 MoE: Qwen's attention with experts in some layers, softmax over all, divided by the chosen ones' sum only with <c>norm_topk_prob</c>; Qwen 2's
/// with an expert for every token behind a sigmoid gate.
/// </summary>
internal sealed class QwenMoeFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["qwen2_moe", "qwen3_moe"];

    /// <inheritdoc/>
    public string Description => "Qwen 1.5, 2 and 3 with experts";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [QwenGguf.SecondMoe, QwenGguf.ThirdMoe];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool isThird = reader.ModelType == "qwen3_moe";
        DecoderConfig config = reader.Decoder(new FamilyDefaults { HeadSize = isThird ? 128 : null });
        if (reader.Flag("use_sliding_window", false)) throw reader.Unsupported("use_sliding_window", "true");
        BiasRule bias = isThird ? reader.Bias("attention_bias", false) : new BiasRule("qkv_bias", reader.Flag("qkv_bias", true)), output = isThird ? bias : BiasRule.Never;
        int count = reader.Size(reader.FirstOf("num_experts", "num_local_experts")), width = reader.Size("moe_intermediate_size"), step = reader.Size("decoder_sparse_step", 1);
        int shared = isThird ? 0 : reader.Size("shared_expert_intermediate_size");
        IReadOnlyList<int> dense = reader.Ids("mlp_only_layers");
        var routing = new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok"), Norm = reader.Flag("norm_topk_prob", false) ? 1 : null };
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.PreNorm(
                parts, config, QwenFamily.Attention(parts, config, 0, bias, output, isThird),
                dense.Contains(parts.Index) || (parts.Index + 1) % step != 0 ? Standard.GatedMlp(parts, config) : Sparse(parts)),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };

        Experts Sparse(BlockParts parts)
        {
            Experts experts = Moe.Experts(parts, routing, "mlp.gate", new ExpertParts("mlp.experts", count, config.HiddenSize, width) { Activation = config.Activation });
            return isThird ? experts : experts with
            {
                Shared = Standard.GatedMlp(parts, config, "mlp.shared_expert", shared),
                SharedGate = parts.KeptLinear("mlp.shared_expert_gate", 1, config.HiddenSize),
            };
        }
    }
}
