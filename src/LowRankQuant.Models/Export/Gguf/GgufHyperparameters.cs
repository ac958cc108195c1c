using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>The keys of GGUF's llama architecture that a configuration stands for.</summary>
internal static class GgufHyperparameters
{
    public const string Architecture = "llama";

    /// <summary>What the architecture, as llama.cpp runs it, cannot do; empty when it can do everything.</summary>
    public static IEnumerable<string> Problems(DecoderConfig config)
    {
        const string Remedy = "there is no GGUF form of this model here";
        RopeConfig rope = config.Rope;
        if (config.ModelType != Architecture) yield return $"model_type '{config.ModelType}' has no counterpart among GGUF architectures here; supported is {Architecture}.";
        if (config.Activation != Activation.Silu) yield return $"hidden_act is {config.Activation}; the llama architecture of llama.cpp has silu only, so {Remedy}.";
        if (config.SlidingWindow != 0) yield return $"the attention window of {config.SlidingWindow} has no key in the llama architecture, so {Remedy}.";
        if (config.AttentionScale is { } scale) yield return $"the attention scale {scale} has no key in the llama architecture, so {Remedy}.";
        if (rope.RotatedSize != config.HeadSize) yield return $"{rope.RotatedSize} of {config.HeadSize} elements of a head are rotated; the llama architecture rotates all, so {Remedy}.";
        if (rope.Scaling == RopeScaling.Dynamic) yield return $"rope_scaling 'dynamic' is unknown to llama.cpp, so {Remedy}; remove it from config.json to export the model for up to {rope.MaxPositions} positions.";
        if (rope.Scaling == RopeScaling.Yarn && (rope.AttentionFactor is not null || rope.MScale is not null || rope.MScaleAllDim is not null || !rope.Truncate))
            yield return $"rope_scaling 'yarn' with attention_factor, mscale, mscale_all_dim or truncate has no counterpart in llama.cpp, so {Remedy}.";
    }

    /// <summary>Keys and values in the usual order.</summary>
    public static IEnumerable<KeyValuePair<string, GgufValue>> Of(DecoderConfig config)
    {
        foreach ((string key, object value) in Values(config)) yield return new($"{Architecture}.{key}", GgufValue.Of(value));
    }

    /// <summary>
    /// The table f / f' by which llama.cpp divides the frequencies of Llama 3 scaling, in place of the parameters, and of tables of their own; null for other
    /// scalings.
    /// </summary>
    public static float[]? RopeFactors(RopeConfig rope)
    {
        if (rope.Scaling is not (RopeScaling.Llama3 or RopeScaling.Table)) return null;
        double[] plain = RopeFrequencies.Compute(rope with { Scaling = RopeScaling.None }, 1), scaled = RopeFrequencies.Compute(rope, 1);
        return [.. plain.Zip(scaled, (before, after) => (float)(before / after))];
    }

    private static IEnumerable<(string Key, object Value)> Values(DecoderConfig config)
    {
        yield return ("vocab_size", (uint)config.VocabularySize);
        yield return ("context_length", (uint)config.MaxPositions);
        yield return ("embedding_length", (uint)config.HiddenSize);
        yield return ("block_count", (uint)config.Layers);
        yield return ("feed_forward_length", (uint)config.IntermediateSize);
        yield return ("attention.head_count", (uint)config.Heads);
        yield return ("attention.head_count_kv", (uint)config.KeyValueHeads);
        yield return ("rope.dimension_count", (uint)config.HeadSize);
        if (config.HeadSize * config.Heads != config.HiddenSize)
        {
            yield return ("attention.key_length", (uint)config.HeadSize);
            yield return ("attention.value_length", (uint)config.HeadSize);
        }
        yield return ("rope.freq_base", (float)config.Rope.Theta);
        yield return ("attention.layer_norm_rms_epsilon", config.NormEpsilon);
        RopeConfig rope = config.Rope;
        if (rope.Scaling is not (RopeScaling.Linear or RopeScaling.Yarn)) yield break;
        yield return ("rope.scaling.type", rope.Scaling == RopeScaling.Linear ? "linear" : "yarn");
        yield return ("rope.scaling.factor", (float)rope.Factor);
        if (rope.Scaling == RopeScaling.Linear) yield break;
        yield return ("rope.scaling.original_context_length", (uint)rope.OriginalMaxPositions);
        yield return ("rope.scaling.yarn_beta_fast", (float)rope.BetaFast);
        yield return ("rope.scaling.yarn_beta_slow", (float)rope.BetaSlow);
    }
}
