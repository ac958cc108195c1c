using System.Globalization;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// The keys of a GGUF file's architecture: those that are read elsewhere, those that change the function and are read with one value alone, and those that
/// nobody knows.
/// </summary>
/// <remarks>Source: ggml-org/llama.cpp, src/llama-arch.cpp.</remarks>
internal static class GgufKeys
{
    // Read by this library for every architecture.
    private static readonly string[] Known =
    [
        "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
        "attention.key_length", "attention.value_length", "rope.dimension_count", "rope.freq_base", "rope.scale_linear",
        "rope.scaling.type", "rope.scaling.factor", "rope.scaling.attn_factor", "rope.scaling.original_context_length", "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow",
    ];

    // What they say changes no value: how the file came to be, or how its rows lie, which is one way for this architecture.
    private static readonly string[] Harmless = ["rope.scaling.finetuned", "tensor_data_layout", "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon", "embedding_length_out"];

    // Changes the function unless it has the value that stands for nothing.
    private static readonly Dictionary<string, (string[] Neutral, string What)> Neutral = new(StringComparer.Ordinal)
    {
        ["expert_count"] = (["0"], "a mixture of experts"),
        ["expert_used_count"] = (["0"], "a mixture of experts"),
        ["expert_shared_count"] = (["0"], "a mixture of experts"),
        ["leading_dense_block_count"] = (["0"], "a mixture of experts"),
        ["nextn_predict_layers"] = (["0"], "blocks that predict further tokens"),
        ["attention.causal"] = (["true"], "attention to later tokens"),
        ["attention.sliding_window"] = (["0"], "an attention window"),
        ["attention.clamp_kqv"] = (["0"], "clamped keys, queries and values"),
        ["attention.max_alibi_bias"] = (["0"], "position biases in attention"),
        ["attention.scale"] = (["0"], "an attention scale of its own"),
        ["attention.temperature_scale"] = (["0"], "attention scaled by position"),
        ["attn_logit_softcapping"] = (["0"], "capped attention scores"),
        ["final_logit_softcapping"] = (["0"], "capped logits"),
        ["logit_scale"] = (["0", "1"], "scaled logits"),
        ["residual_scale"] = (["0", "1"], "scaled residuals"),
        ["embedding_scale"] = (["0", "1"], "scaled embeddings"),
        ["use_parallel_residual"] = (["false"], "parallel residuals"),
        ["swin_norm"] = (["false"], "norms behind the layers"),
        ["rescale_every_n_layers"] = (["0"], "rescaled layers"),
        ["hidden_activation"] = (["silu", "swish", "swiglu"], "another activation"),
        ["pooling_type"] = (["0"], "pooled outputs, as of an embedding model"),
        ["rope.dimension_sections"] = ([], "rotary sections"),
        ["rope.scaling.yarn_log_multiplier"] = (["0"], "a temperature of YaRN"),
        ["rope.freq_base_swa"] = ([], "another rotary base in windows"),
        ["rope.dimension_count_swa"] = ([], "other rotated sizes in windows"),
    };

    /// <summary>Refuses what changes the function and is not supported.</summary>
    /// <param name="file">The file.</param>
    /// <param name="architecture">Its architecture, whose own keys are read.</param>
    /// <returns>Keys of the architecture that are unknown, a sentence for the user; empty when there are none.</returns>
    /// <exception cref="UnsupportedModelException">A key asks for another function.</exception>
    public static IReadOnlyList<string> Check(GgufFile file, GgufArchitecture architecture)
    {
        string prefix = architecture.Name + ".";
        List<string> unknown = [];
        foreach ((string key, GgufValue value) in file.Metadata.All.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            if (!key.StartsWith(prefix, StringComparison.Ordinal)) continue;
            string name = key[prefix.Length..];
            if (Known.Contains(name) || Harmless.Contains(name) || architecture.Harmless.Contains(name) || architecture.Fields.Any(field => field.Key == name)) continue;
            if (!Neutral.TryGetValue(name, out (string[] Values, string What) rule)) unknown.Add(key);
            else if (!rule.Values.Contains(Text(value)))
                throw new UnsupportedModelException($"{file.Location}: '{key}' is {Text(value)} ({rule.What}), which is not supported for the {architecture.Name} architecture{Allowed(rule.Values)}.");
        }
        return unknown.Count == 0
            ? []
            : [$"{file.Location}: {string.Join(", ", unknown)} {(unknown.Count == 1 ? "is no key" : "are no keys")} that llama.cpp knows for this architecture; left out."];
    }

    private static string Allowed(string[] values) => values.Length == 0 ? "" : $"; {string.Join(" or ", values)} is";

    private static string Text(GgufValue value) => value.Value switch
    {
        bool flag => flag ? "true" : "false",
        Array list => $"[{string.Join(", ", list.Cast<object>().Take(4).Select(item => Convert.ToString(item, CultureInfo.InvariantCulture)))}{(list.Length > 4 ? ", ..." : "")}]",
        _ => Convert.ToString(value.Value, CultureInfo.InvariantCulture)!,
    };
}
