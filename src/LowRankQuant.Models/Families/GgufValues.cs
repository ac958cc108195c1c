using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Models.Families;

/// <summary>Values of the keys that all architectures have, and the tensors that stand for angles.</summary>
internal static class GgufValues
{
    // A pair that stands still: its frequency is divided by this.
    private const float Still = 1e30f;

    /// <summary>Keys and values in the usual order.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="config">The model's configuration.</param>
    /// <param name="context">Positions that the engine computes as the model does.</param>
    public static IEnumerable<(string Key, object? Value)> Usual(GgufArchitecture architecture, DecoderConfig config, int context)
    {
        bool rotates = architecture.Pairs != GgufPairs.None;
        RopeConfig rope = config.Rope;
        yield return ("vocab_size", (uint)config.VocabularySize);
        yield return ("context_length", (uint)context);
        yield return ("embedding_length", (uint)config.HiddenSize);
        yield return ("block_count", (uint)config.Layers);
        yield return ("feed_forward_length", (uint)config.IntermediateSize);
        yield return ("attention.head_count", (uint)config.Heads);
        yield return ("attention.head_count_kv", (uint)config.KeyValueHeads);
        if (rotates) yield return ("rope.dimension_count", (uint)rope.RotatedSize);
        if (config.HeadSize * config.Heads != config.HiddenSize)
        {
            yield return ("attention.key_length", (uint)config.HeadSize);
            yield return ("attention.value_length", (uint)config.HeadSize);
        }
        if (rotates) yield return ("rope.freq_base", (float)rope.Theta);
        yield return (architecture.Epsilon, config.NormEpsilon);
        if (!rotates) yield break;
        if (rope.Scaling == RopeScaling.LongRope)
        {
            yield return ("rope.scaling.type", "longrope");
            yield return ("rope.scaling.original_context_length", (uint)rope.OriginalMaxPositions);
            yield return ("rope.scaling.attn_factor", (float)RopeFrequencies.AttentionFactor(rope));
        }
        if (rope.Scaling is not (RopeScaling.Linear or RopeScaling.Yarn)) yield break;
        yield return ("rope.scaling.type", rope.Scaling == RopeScaling.Linear ? "linear" : "yarn");
        yield return ("rope.scaling.factor", (float)rope.Factor);
        if (rope.Scaling == RopeScaling.Linear) yield break;
        yield return ("rope.scaling.original_context_length", (uint)rope.OriginalMaxPositions);
        yield return ("rope.scaling.yarn_beta_fast", (float)rope.BetaFast);
        yield return ("rope.scaling.yarn_beta_slow", (float)rope.BetaSlow);
        // The engine multiplies by 1 + 0.1 ln(factor) whatever this says.
        double own = RopeFrequencies.AttentionFactor(rope) / (1 + (0.1 * Math.Log(rope.Factor)));
        if (Math.Abs(own - 1) > 1e-9) yield return ("rope.scaling.attn_factor", (float)own);
    }

    /// <summary>
    /// The table f / f' by which llama.cpp divides the frequencies of Llama 3 scaling and of pairs that stand still, in place of the parameters, and of tables of
    /// their own; or the two lists of LongRoPE.
    /// </summary>
    public static IEnumerable<(string Name, float[] Values)> RopeTensors(GgufArchitecture architecture, DecoderConfig config)
    {
        RopeConfig rope = config.Rope;
        if (architecture.Pairs == GgufPairs.None) yield break;
        if (rope.Scaling == RopeScaling.LongRope)
        {
            yield return (GgufNames.LongFactors, [.. rope.LongFactors]);
            yield return (GgufNames.ShortFactors, [.. rope.ShortFactors]);
        }
        if (rope.Scaling is not (RopeScaling.Llama3 or RopeScaling.Table or RopeScaling.Proportional)) yield break;
        double[] plain = RopeFrequencies.Compute(rope with { Scaling = RopeScaling.None }, 1), scaled = RopeFrequencies.Compute(rope, 1);
        yield return (GgufNames.RopeFactors, [.. plain.Zip(scaled, (before, after) => after == 0 ? Still : (float)(before / after))]);
    }
}
