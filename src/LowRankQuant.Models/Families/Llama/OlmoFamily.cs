using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// OLMo 2 and 3: norms on what attention and MLP give and none in front, RMSNorm over the whole rows of q and k. OLMo 3: windows but in every fourth layer, where alone
/// frequencies are scaled. OLMoE: norms in front, a clamp of q, k and v, experts.
/// </summary>
internal sealed class OlmoFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["olmo2", "olmo3", "olmoe"];

    /// <inheritdoc/>
    public string Description => "OLMo 2 and 3, and OLMoE with experts: norms on what attention and MLP give";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [OlmoGguf.Second, OlmoGguf.Third, OlmoGguf.Moe];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool isThird = reader.ModelType == "olmo3", hasExperts = reader.ModelType == "olmoe";
        double theta = hasExperts ? 10000 : 500000;
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, Rope = new RopeRule { Theta = theta } });
        RopeConfig local = isThird ? reader.Rope(config.HeadSize, config.MaxPositions, new RopeRule { Theta = theta, LayerType = "sliding_attention", Scaled = false }) : config.Rope;
        IReadOnlyList<string> types = isThird ? reader.LayerTypes(config.Layers, layer => (layer + 1) % 4 == 0) : [.. Enumerable.Repeat("full_attention", config.Layers)];
        int window = isThird ? reader.Window("sliding_window", 4096) : 0, experts = hasExperts ? reader.Size("num_experts") : 0;
        float? clip = (float?)reader.Number("clip_qkv");
        BiasRule bias = reader.Bias("attention_bias", false);
        Routing? routing = hasExperts
            ? new Routing { Experts = experts, Chosen = reader.Size("num_experts_per_tok"), Norm = reader.Flag("norm_topk_prob", false) ? 1 : null }
            : null;
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                bool slides = types[parts.Index] == "sliding_attention";
                Attention attention = Standard.Attention(parts, config, bias, bias, Standard.Shape(config, slides ? window : 0), slides ? local : config.Rope) with
                {
                    QueryNorm = parts.RmsNorm("self_attn.q_norm", config.Heads * config.HeadSize, config.NormEpsilon),
                    KeyNorm = parts.RmsNorm("self_attn.k_norm", config.KeyValueHeads * config.HeadSize, config.NormEpsilon),
                    Clip = clip,
                };
                if (routing is null) return Standard.PostNorm(parts, config, attention, Standard.GatedMlp(parts, config));
                var made = new ExpertParts("mlp.experts", experts, config.HiddenSize, config.IntermediateSize) { Activation = config.Activation };
                return Standard.PreNorm(parts, config, attention, Moe.Experts(parts, routing, "mlp.gate", made));
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
