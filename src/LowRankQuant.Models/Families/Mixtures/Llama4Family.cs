using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>
/// Llama 4: rotation of neighbouring pairs with attention in chunks, and every fourth layer over everything without rotation and with queries that grow with their
/// position; heads normalised without weights behind the rotation; one expert by a sigmoid, which multiplies its input, beside one for every token.
/// </summary>
internal sealed class Llama4Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["llama4_text", "llama4"];

    /// <inheritdoc/>
    public string Description => "Llama 4, also as the text model of the multimodal one: experts, attention in chunks";

    /// <inheritdoc/>
    public string? TextKey => "text_config";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LlamaGguf.Fourth];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, HeadSize = 128, Rope = new RopeRule { Theta = 500000, Interleaved = true } });
        bool[] rotates = reader.RotatedLayers(config.Layers);
        BiasRule bias = reader.Bias("attention_bias", false);
        bool norms = reader.Flag("use_qk_norm", true), tuned = reader.Switch("attn_temperature_tuning", true);
        double scale = reader.Number("attn_scale") ?? 0.1, floor = reader.Number("floor_scale") ?? 8192;
        int chunk = reader.Count("attention_chunk_size", 8192), count = reader.Size("num_local_experts", 16), step = reader.Size("interleave_moe_layer_step", 1);
        IReadOnlyList<int> listed = reader.Ids("moe_layers");
        var routing = new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok", 1), Score = RouterScore.Sigmoid };
        int dense = reader.Size("intermediate_size_mlp", config.IntermediateSize);
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                bool rotated = rotates[parts.Index], sparse = reader.Has("moe_layers") ? listed.Contains(parts.Index) : (parts.Index + 1) % step == 0;
                Attention attention = Standard.Attention(parts, config, bias, bias, Standard.Shape(config) with { Chunk = rotated ? chunk : 0 }, rotated ? config.Rope : null);
                if (rotated && norms)
                {
                    INorm norm = parts.UnweightedRmsNorm(config.HeadSize, config.NormEpsilon);
                    attention = attention with { QueryNorm = norm, KeyNorm = norm, NormsAfterRotation = true };
                }
                if (!rotated && tuned) attention = attention with { QueryFactor = position => (float)(1 + (scale * Math.Log(1 + Math.Floor((position + 1) / floor)))) };
                return Standard.PreNorm(parts, config, attention, sparse ? Sparse(parts) : Standard.GatedMlp(parts, config, "feed_forward", dense));
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };

        Experts Sparse(BlockParts parts)
        {
            var made = new ExpertParts("feed_forward.experts", count, config.HiddenSize, config.IntermediateSize)
            {
                Storage = ExpertStorage.StackedTransposed,
                Activation = config.Activation,
            };
            return Moe.Experts(parts, routing, "feed_forward.router", made) with
            {
                WeighsInput = true,
                Shared = Standard.GatedMlp(parts, config, "feed_forward.shared_expert", config.IntermediateSize),
            };
        }
    }
}
