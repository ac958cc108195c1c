using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>
/// gpt-oss: biases everywhere, sinks in every layer, windows in the layers that <c>layer_types</c> names, YaRN without truncation, experts with a clamped gate, stored
/// as stacks with gate and up in turn, or as MXFP4 blocks of their transposes.
/// </summary>
internal sealed class GptOssFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["gpt_oss"];

    /// <inheritdoc/>
    public string Description => "gpt-oss: experts, stored as floats or in MXFP4, attention with sinks and windows";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GptOssGguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            Epsilon = 1e-5f,
            HeadSize = 64,
            Positions = 131072,
            Rope = new RopeRule
            {
                Theta = 150000,
                Scaling = new() { ["rope_type"] = "yarn", ["factor"] = 32, ["original_max_position_embeddings"] = 4096, ["truncate"] = false },
            },
        });
        IReadOnlyList<string> types = reader.LayerTypes(config.Layers, layer => layer % 2 == 1);
        int window = reader.Window("sliding_window", 128), count = reader.Size("num_local_experts");
        BiasRule bias = reader.Bias("attention_bias", true);
        // The softmax of the chosen logits is that of all divided by the chosen ones' sum.
        var routing = new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok"), Norm = 1 };
        var gate = new ClampedGate((float)(reader.Number("swiglu_alpha") ?? 1.702), (float)(reader.Number("swiglu_limit") ?? 7));
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                AttentionShape shape = Standard.Shape(config, types[parts.Index] == "sliding_attention" ? window : 0);
                Attention attention = Standard.Attention(parts, config, bias, bias, shape, config.Rope) with { Sinks = parts.Tensor("self_attn.sinks", config.Heads) };
                return Standard.PreNorm(parts, config, attention, new Experts
                {
                    Router = new Router
                    {
                        Projection = parts.KeptLinear("mlp.router", count, config.HiddenSize, biased: true),
                        Routing = routing,
                        Choice = parts.Choice(routing),
                    },
                    Items = new ExpertParts("mlp.experts", count, config.HiddenSize, config.IntermediateSize)
                    {
                        Storage = ExpertStorage.Interleaved,
                        Biased = true,
                        Clamped = gate,
                    }.Make(parts),
                });
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
