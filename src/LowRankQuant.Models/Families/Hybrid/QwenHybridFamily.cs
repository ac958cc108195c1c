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
/// Qwen3-Next and Qwen 3.5: three layers of the gated delta rule, then one of attention whose output has a gate; norms with 1 + w. Qwen3-Next has the delta rule's projections in
/// two fused ones by key head, and experts beside one for every token; Qwen 3.5 has them apart, and comes with an MLP or with experts.
/// </summary>
internal sealed class QwenHybridFamily : IModelFamily
{
    private const string Next = "qwen3_next", Full = "full_attention", Linear = "linear_attention";
    private static readonly string[] Sparse = [Next, "qwen3_5_moe", "qwen3_5_moe_text"];

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => [Next, "qwen3_5_text", "qwen3_5", "qwen3_5_moe_text", "qwen3_5_moe"];

    /// <inheritdoc/>
    public string Description => "Qwen3-Next and Qwen 3.5 (gated delta rule beside attention), dense or with experts, also as the text model of the multimodal ones";

    /// <inheritdoc/>
    public string? TextKey => "text_config";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [QwenHybridGguf.Next, QwenHybridGguf.Dense, QwenHybridGguf.Sparse];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool isNext = reader.ModelType == Next, sparse = Sparse.Contains(reader.ModelType);
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            HeadSize = 256,
            Positions = 32768,
            Intermediate = sparse ? FamilyDefaults.FourTimes : null,
            Rope = new RopeRule { Partial = 0.25 },
        });
        int interval = reader.Size("full_attention_interval", 4);
        IReadOnlyList<string> types = reader.Words("layer_types", config.Layers) ?? [.. Enumerable.Range(1, config.Layers).Select(layer => layer % interval == 0 ? Full : Linear)];
        if (types.FirstOrDefault(type => type is not (Full or Linear)) is { } other) throw reader.Unsupported("layer_types", other);
        var heads = new DeltaRuleShape(
            1, 1, reader.Size("linear_num_key_heads", 16), reader.Size("linear_num_value_heads", 32), reader.Size("linear_key_head_dim", 128), reader.Size("linear_value_head_dim", 128),
            ChannelDecay: false);
        if (heads.ValueHeads % heads.KeyHeads != 0) throw reader.Wrong("linear_num_value_heads", null, $"must be a multiple of linear_num_key_heads, {heads.KeyHeads}");
        int taps = reader.Size("linear_conv_kernel_dim", 4);
        BiasRule bias = reader.Bias("attention_bias", false);
        Func<BlockParts, IFeedForward> experts = sparse ? Experts(reader, config, isNext) : parts => Standard.GatedMlp(parts, config);
        IReadOnlyList<int> dense = isNext ? reader.Ids("mlp_only_layers") : [];
        int step = isNext ? reader.Size("decoder_sparse_step", 1) : 1;
        return new Architecture
        {
            Config = config,
            Block = parts => new SequentialBody
            {
                MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon, 1),
                Mixer = types[parts.Index] == Full ? Attention(parts, config, bias) : DeltaNet(parts, config, heads, taps, isNext),
                MlpNorm = parts.RmsNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon, 1),
                Mlp = dense.Contains(parts.Index) || (parts.Index + 1) % step != 0 ? Standard.GatedMlp(parts, config) : experts(parts),
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon, 1),
        };
    }

    private static Attention Attention(BlockParts parts, DecoderConfig config, BiasRule bias)
    {
        AttentionShape shape = Standard.Shape(config);
        int d = config.HiddenSize, q = shape.Heads * shape.HeadSize, k = shape.KeyValueHeads * shape.HeadSize;
        return new Attention
        {
            Query = parts.Linear("self_attn.q_proj", 2 * q, d, bias),
            QueryHasGate = true,
            Key = parts.Linear("self_attn.k_proj", k, d, bias),
            Value = parts.Linear("self_attn.v_proj", k, d, bias),
            Output = parts.Linear("self_attn.o_proj", d, q, bias),
            QueryNorm = parts.RmsNorm("self_attn.q_norm", shape.HeadSize, config.NormEpsilon, 1),
            KeyNorm = parts.RmsNorm("self_attn.k_norm", shape.HeadSize, config.NormEpsilon, 1),
            Shape = shape,
            Rope = parts.Rope(config.Rope),
        };
    }

    private static GatedDeltaNet DeltaNet(BlockParts parts, DecoderConfig config, DeltaRuleShape heads, int taps, bool fused)
    {
        int d = config.HiddenSize, values = heads.ValueHeads * heads.ValueSize, mixed = (2 * heads.KeyHeads * heads.KeySize) + values;
        return new GatedDeltaNet
        {
            Mixed = fused ? parts.Linear("linear_attn.in_proj_qkvz", mixed + values, d) : parts.Linear("linear_attn.in_proj_qkv", mixed, d),
            Gate = fused ? null : parts.Linear("linear_attn.in_proj_z", values, d),
            Strength = fused ? parts.KeptLinear("linear_attn.in_proj_ba", 2 * heads.ValueHeads, d) : parts.KeptLinear("linear_attn.in_proj_b", heads.ValueHeads, d),
            Decay = fused ? null : parts.KeptLinear("linear_attn.in_proj_a", heads.ValueHeads, d),
            Convolution = CausalConvolution.Load(parts, "linear_attn.conv1d", mixed, taps, bias: false),
            NegativeRate = parts.NegativeExponential("linear_attn.A_log", 1, heads.ValueHeads),
            DecayBias = parts.Tensor("linear_attn.dt_bias", heads.ValueHeads),
            Norm = parts.RmsNorm("linear_attn.norm", heads.ValueSize, config.NormEpsilon),
            Output = parts.Linear("linear_attn.out_proj", d, values),
            Heads = heads,
        };
    }

    // Softmax over all experts; Qwen3-Next divides by the chosen ones' sum where a key says so, Qwen 3.5 always.
    private static Func<BlockParts, IFeedForward> Experts(ConfigReader reader, DecoderConfig config, bool isNext)
    {
        int count = reader.Size("num_experts"), width = reader.Size("moe_intermediate_size"), shared = reader.Size("shared_expert_intermediate_size");
        bool normalized = !isNext || reader.Flag("norm_topk_prob", true);
        var routing = new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok"), Norm = normalized ? 1 : null };
        return parts => Moe.Experts(
            parts, routing, "mlp.gate", new ExpertParts("mlp.experts", count, config.HiddenSize, width) { Storage = ExpertStorage.Stacked, Activation = config.Activation }) with
        {
            Shared = Standard.GatedMlp(parts, config, "mlp.shared_expert", shared),
            SharedGate = parts.KeptLinear("mlp.shared_expert_gate", 1, config.HiddenSize),
        };
    }
}
