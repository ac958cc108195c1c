using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Recurrent;
using LowRankQuant.Models.Families.Gguf.Hybrid;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>
/// LFM2 and LFM2 with experts: gated short convolutions, and in some layers attention with norms of the heads; experts by sigmoids, corrected for the choice alone. The final norm is
/// called <c>embedding_norm</c>.
/// </summary>
internal sealed class Lfm2Family : IModelFamily
{
    private const string Mixture = "lfm2_moe";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["lfm2", Mixture];

    /// <inheritdoc/>
    public string Description => "LFM2, dense or with experts: short convolutions beside attention";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [Lfm2Gguf.Dense, Lfm2Gguf.Sparse];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool sparse = reader.ModelType == Mixture;
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = reader.FirstOf("norm_eps", "block_norm_eps"),
            Epsilon = 1e-5f,
            Tied = true,
            Positions = 128000,
            IntermediateKey = reader.FirstOf("block_ff_dim", "intermediate_size"),
            Rope = new RopeRule { Theta = 1e6 },
        });
        config = config with { IntermediateSize = sparse ? config.IntermediateSize : Width(reader, config), TiedEmbeddings = reader.Flag("tie_embedding", config.TiedEmbeddings) };
        IReadOnlyList<int> listed = reader.Ids("full_attn_idxs");
        IReadOnlyList<string> types = reader.Words("layer_types", config.Layers)
            ?? [.. Enumerable.Range(0, config.Layers).Select(layer => !reader.Has("full_attn_idxs") || listed.Contains(layer) ? "full_attention" : "conv")];
        if (types.FirstOrDefault(type => type is not ("full_attention" or "conv")) is { } other) throw reader.Unsupported("layer_types", other);
        int taps = reader.Size("conv_L_cache", 3), dense = sparse ? reader.Count("num_dense_layers", 2) : config.Layers;
        var bias = new BiasRule("conv_bias", reader.Flag("conv_bias", false));
        Func<BlockParts, IFeedForward>? experts = sparse ? Experts(reader, config) : null;
        return new Architecture
        {
            Config = config,
            BaseNames = ["embed_tokens", "embedding_norm", "layers"],
            Block = parts => new SequentialBody
            {
                MixerNorm = parts.RmsNorm("operator_norm", config.HiddenSize, config.NormEpsilon),
                Mixer = types[parts.Index] == "conv" ? Convolution(parts, config.HiddenSize, taps, bias) : Attention(parts, config),
                MlpNorm = parts.RmsNorm("ffn_norm", config.HiddenSize, config.NormEpsilon),
                Mlp = parts.Index < dense ? FeedForward(parts, config) : experts!(parts),
            },
            FinalNorm = parts => parts.RmsNorm("model.embedding_norm", config.HiddenSize, config.NormEpsilon),
        };
    }

    /// <summary>A gated short convolution.</summary>
    public static ShortConvolution Convolution(BlockParts parts, int width, int taps, BiasRule bias) => new()
    {
        Input = parts.Linear("conv.in_proj", 3 * width, width, bias),
        Convolution = CausalConvolution.Load(parts, "conv.conv", width, taps, bias.IsOn),
        Output = parts.Linear("conv.out_proj", width, width, bias),
    };

    /// <summary>w1 is the gate, w3 up and w2 down.</summary>
    public static GatedMlp FeedForward(BlockParts parts, DecoderConfig config) => new()
    {
        Gate = parts.Linear("feed_forward.w1", config.IntermediateSize, config.HiddenSize),
        Up = parts.Linear("feed_forward.w3", config.IntermediateSize, config.HiddenSize),
        Down = parts.Linear("feed_forward.w2", config.HiddenSize, config.IntermediateSize),
        Activation = Activation.Silu,
    };

    private static Attention Attention(BlockParts parts, DecoderConfig config)
    {
        AttentionShape shape = Standard.Shape(config);
        int d = config.HiddenSize, k = shape.KeyValueHeads * shape.HeadSize;
        return new Attention
        {
            Query = parts.Linear("self_attn.q_proj", shape.Heads * shape.HeadSize, d),
            Key = parts.Linear("self_attn.k_proj", k, d),
            Value = parts.Linear("self_attn.v_proj", k, d),
            Output = parts.Linear("self_attn.out_proj", d, shape.Heads * shape.HeadSize),
            QueryNorm = parts.RmsNorm("self_attn.q_layernorm", shape.HeadSize, config.NormEpsilon),
            KeyNorm = parts.RmsNorm("self_attn.k_layernorm", shape.HeadSize, config.NormEpsilon),
            Shape = shape,
            Rope = parts.Rope(config.Rope),
        };
    }

    private static Func<BlockParts, IFeedForward> Experts(ConfigReader reader, DecoderConfig config)
    {
        int count = reader.Size("num_experts"), width = reader.Size("moe_intermediate_size");
        bool corrected = reader.Flag("use_expert_bias", true);
        var routing = new Routing
        {
            Experts = count,
            Chosen = reader.Size("num_experts_per_tok"),
            Score = RouterScore.Sigmoid,
            Norm = reader.Flag("norm_topk_prob", true) ? 1 : null,
            NormEpsilon = 1e-6,
            Factor = (float)(reader.Number("routed_scaling_factor") ?? 1),
        };
        var experts = new ExpertParts("feed_forward.experts", count, config.HiddenSize, width) { Names = Moe.Numbered, Activation = Activation.Silu };
        return parts => corrected ? Moe.Corrected(parts, routing, "feed_forward.gate", "feed_forward.expert_bias", experts) : Moe.Experts(parts, routing, "feed_forward.gate", experts);
    }

    // Two thirds of the width that is given, rounded up, as the feed-forward layers of Llama were first sized.
    private static int Width(ConfigReader reader, DecoderConfig config)
    {
        int width = config.IntermediateSize, multiple = reader.Size("block_multiple_of", 256);
        if (!reader.Flag("block_auto_adjust_ff_dim", true)) return width;
        width = (int)((reader.Number("block_ffn_dim_multiplier") ?? 1) * (2 * width / 3));
        return (width + multiple - 1) / multiple * multiple;
    }
}
