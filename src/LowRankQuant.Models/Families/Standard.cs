using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Models.Families;

/// <summary>Parts under the names that most families share.</summary>
internal static class Standard
{
    /// <summary>Sizes of attention as the configuration has them.</summary>
    public static AttentionShape Shape(DecoderConfig config, int window = 0) => new(
        1, 1, 1, config.Heads, config.KeyValueHeads, config.HeadSize, config.AttentionScale ?? (float)(1 / Math.Sqrt(config.HeadSize)), window);

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

    /// <summary>x += attention(input_layernorm x); x += mlp(post_attention_layernorm x), both RMSNorm.</summary>
    public static SequentialBody PreNorm(BlockParts parts, DecoderConfig config, IMixer attention, IFeedForward mlp, float residualFactor = 1) => new()
    {
        MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon),
        Mixer = attention,
        MlpNorm = parts.RmsNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon),
        Mlp = mlp,
        ResidualFactor = residualFactor,
    };
}
