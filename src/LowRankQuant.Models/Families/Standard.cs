using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families;

/// <summary>Parts under the names that most families share.</summary>
internal static class Standard
{
    /// <summary>Sizes of attention as the configuration has them.</summary>
    public static AttentionShape Shape(DecoderConfig config, int window = 0) => new(
        1, 1, 1, config.Heads, config.KeyValueHeads, config.HeadSize, config.AttentionScale ?? (float)(1 / Math.Sqrt(config.HeadSize)), window);

    /// <summary>Key of rope parameters by which queries grow with their position.</summary>
    public const string GrowthKey = "llama_4_scaling_beta";

    /// <summary>1 + beta ln(1 + floor(p / o)) of a position p with the original length o; null where beta is.</summary>
    public static Func<int, float>? GrowingQueries(double? beta, RopeConfig rope)
    {
        if (beta is not { } growth) return null;
        double original = rope.OriginalMaxPositions;
        return position => (float)(1 + (growth * Math.Log(1 + Math.Floor(position / original))));
    }

    /// <summary><c>self_attn.{q,k,v,o}_proj</c>, rotated as the configuration says.</summary>
    public static Attention Attention(BlockParts parts, DecoderConfig config, BiasRule bias) => Attention(parts, config, bias, bias, Shape(config), config.Rope);

    /// <summary><c>self_attn.{q,k,v,o}_proj</c>.</summary>
    /// <param name="parts">Of the block.</param>
    /// <param name="config">Sizes.</param>
    /// <param name="bias">Of q, k and v.</param>
    /// <param name="outputBias">Of o.</param>
    /// <param name="shape">Heads, window and so on.</param>
    /// <param name="rope">Rotation; null for none.</param>
    public static Attention Attention(BlockParts parts, DecoderConfig config, BiasRule bias, BiasRule outputBias, AttentionShape shape, RopeConfig? rope)
    {
        int d = config.HiddenSize, q = shape.Heads * shape.HeadSize, k = shape.KeyValueHeads * shape.HeadSize;
        return new Attention
        {
            Query = parts.Linear("self_attn.q_proj", q, d, bias),
            Key = parts.Linear("self_attn.k_proj", k, d, bias),
            Value = parts.Linear("self_attn.v_proj", shape.KeyValueHeads * shape.ValueHeadSize, d, bias),
            Output = parts.Linear("self_attn.o_proj", d, shape.Heads * shape.ValueHeadSize, outputBias),
            Shape = shape,
            Rope = parts.Rope(rope),
        };
    }

    /// <summary><c>mlp.{gate,up,down}_proj</c>.</summary>
    public static GatedMlp GatedMlp(BlockParts parts, DecoderConfig config, BiasRule bias = default) => GatedMlp(parts, config, "mlp", config.IntermediateSize, bias);

    /// <summary><c>PREFIX.{gate,up,down}_proj</c> of a width.</summary>
    public static GatedMlp GatedMlp(BlockParts parts, DecoderConfig config, string prefix, int width, BiasRule bias = default) => new()
    {
        Gate = parts.Linear($"{prefix}.gate_proj", width, config.HiddenSize, bias),
        Up = parts.Linear($"{prefix}.up_proj", width, config.HiddenSize, bias),
        Down = parts.Linear($"{prefix}.down_proj", config.HiddenSize, width, bias),
        Activation = config.Activation,
    };

    /// <summary>A gated MLP whose gate and up are rows of <c>mlp.gate_up_proj</c>, gate first.</summary>
    public static GatedMlp FusedGatedMlp(BlockParts parts, DecoderConfig config)
    {
        int width = config.IntermediateSize;
        LinearSlot[] slots = parts.Fused(
            "mlp.gate_up_proj", config.HiddenSize, default, false, ("mlp.gate_proj", RowPattern.Range(0, width)), ("mlp.up_proj", RowPattern.Range(width, width)));
        return new GatedMlp { Gate = slots[0], Up = slots[1], Down = parts.Linear("mlp.down_proj", config.HiddenSize, width), Activation = config.Activation };
    }

    /// <summary>x += attention(input_layernorm x); x += mlp(post_attention_layernorm x), both RMSNorm.</summary>
    public static SequentialBody PreNorm(BlockParts parts, DecoderConfig config, IMixer attention, IFeedForward mlp, float residualFactor = 1) => new()
    {
        MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon),
        Mixer = attention,
        MlpNorm = parts.RmsNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon),
        Mlp = mlp,
        ResidualFactor = residualFactor,
    };

    /// <summary>x += norm(attention x); x += norm(mlp x), the norms behind, RMSNorm.</summary>
    public static SequentialBody PostNorm(BlockParts parts, DecoderConfig config, IMixer attention, IFeedForward mlp) => new()
    {
        Mixer = attention,
        MixerPostNorm = parts.RmsNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon),
        Mlp = mlp,
        MlpPostNorm = parts.RmsNorm("post_feedforward_layernorm", config.HiddenSize, config.NormEpsilon),
    };

    /// <summary>Norms in front of and behind both parts, as Gemma 2 names them.</summary>
    public static SequentialBody Sandwich(BlockParts parts, DecoderConfig config, IMixer attention, IFeedForward mlp, float offset) => new()
    {
        MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon, offset),
        Mixer = attention,
        MixerPostNorm = parts.RmsNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon, offset),
        MlpNorm = parts.RmsNorm("pre_feedforward_layernorm", config.HiddenSize, config.NormEpsilon, offset),
        Mlp = mlp,
        MlpPostNorm = parts.RmsNorm("post_feedforward_layernorm", config.HiddenSize, config.NormEpsilon, offset),
    };

    /// <summary>The same with layer normalisation in front.</summary>
    public static SequentialBody LayerNormed(BlockParts parts, DecoderConfig config, string mixerNorm, string mlpNorm, IMixer attention, IFeedForward mlp, bool bias = true) => new()
    {
        MixerNorm = parts.LayerNorm(mixerNorm, config.HiddenSize, config.NormEpsilon, bias),
        Mixer = attention,
        MlpNorm = parts.LayerNorm(mlpNorm, config.HiddenSize, config.NormEpsilon, bias),
        Mlp = mlp,
    };

    /// <summary>down(activation(up x)).</summary>
    public static PlainMlp PlainMlp(BlockParts parts, DecoderConfig config, string up, string down, BiasRule bias, NonLinearity? activation = null) => new()
    {
        Up = parts.Linear(up, config.IntermediateSize, config.HiddenSize, bias),
        Down = parts.Linear(down, config.HiddenSize, config.IntermediateSize, bias),
        Activation = activation ?? config.Activation,
    };

    /// <summary>Attention whose queries, keys and values are rows of one stored matrix, in runs by head.</summary>
    /// <param name="parts">Of the block.</param>
    /// <param name="config">Sizes.</param>
    /// <param name="prefix">In front of the names of q, k and v.</param>
    /// <param name="fused">The stored module.</param>
    /// <param name="output">The output projection.</param>
    /// <param name="shape">Heads and so on.</param>
    /// <param name="rope">Rotation; null for none.</param>
    /// <param name="bias">Of q, k and v.</param>
    /// <param name="outputBias">Of the output.</param>
    /// <param name="layout">Order of the rows.</param>
    public static Attention FusedAttention(
        BlockParts parts, DecoderConfig config, string prefix, string fused, string output, AttentionShape shape, RopeConfig? rope, BiasRule bias, BiasRule outputBias,
        FusedRows layout)
    {
        (RowPattern q, RowPattern k, RowPattern v) = layout.Of(shape);
        LinearSlot[] slots = parts.Fused(fused, config.HiddenSize, bias, false, ($"{prefix}.q_proj", q), ($"{prefix}.k_proj", k), ($"{prefix}.v_proj", v));
        return new Attention
        {
            Query = slots[0],
            Key = slots[1],
            Value = slots[2],
            Output = parts.Linear(output, config.HiddenSize, shape.Heads * shape.ValueHeadSize, outputBias),
            Shape = shape,
            Rope = parts.Rope(rope),
        };
    }
}

/// <summary>In which order a fused projection holds queries, keys and values.</summary>
internal enum FusedOrder
{
    /// <summary>All queries, all keys, all values.</summary>
    Blocks,

    /// <summary>For every key head its queries, its key, its value.</summary>
    ByKeyHead,
}

/// <summary>Rows of queries, keys and values in a fused projection.</summary>
/// <param name="Order">Their order.</param>
internal readonly record struct FusedRows(FusedOrder Order)
{
    /// <summary>All queries, all keys, all values.</summary>
    public static FusedRows Blocks => new(FusedOrder.Blocks);

    /// <summary>For every key head its queries, its key, its value.</summary>
    public static FusedRows ByKeyHead => new(FusedOrder.ByKeyHead);

    /// <summary>The rows of each.</summary>
    public (RowPattern Query, RowPattern Key, RowPattern Value) Of(AttentionShape shape)
    {
        int size = shape.HeadSize, q = shape.Heads * size, k = shape.KeyValueHeads * size;
        if (Order == FusedOrder.Blocks) return (RowPattern.Range(0, q), RowPattern.Range(q, k), RowPattern.Range(q + k, shape.KeyValueHeads * shape.ValueHeadSize));
        int own = q / shape.KeyValueHeads, stride = own + (2 * size);
        return (new RowPattern(0, q, own, stride), new RowPattern(own, k, size, stride), new RowPattern(own + size, k, size, stride));
    }
}
