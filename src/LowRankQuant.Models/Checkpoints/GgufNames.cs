using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Names of the tensors of the llama architecture, in GGUF files and in Hugging Face checkpoints.</summary>
internal static class GgufNames
{
    /// <summary>Hugging Face name of the embedding.</summary>
    public const string Embedding = "model.embed_tokens.weight";

    /// <summary>Hugging Face name of the output head.</summary>
    public const string Head = "lm_head.weight";

    /// <summary>Stored name of the table by which frequencies are divided.</summary>
    public const string RopeFactors = "rope_freqs.weight";

    private static readonly (string Gguf, string HuggingFace)[] Outer =
    [
        ("token_embd.weight", Embedding), ("output_norm.weight", "model.norm.weight"), ("output.weight", Head),
    ];

    private static readonly (string Gguf, string HuggingFace)[] BlockParts =
    [
        ("attn_norm", "input_layernorm"),
        ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"),
    ];

    /// <summary>Both names of every tensor that a model may have, in the usual order of a GGUF file.</summary>
    /// <param name="layers">Blocks.</param>
    public static IEnumerable<(string Gguf, string HuggingFace)> All(int layers)
    {
        foreach ((string, string) pair in Outer) yield return pair;
        for (int i = 0; i < layers; i++)
        {
            foreach ((string gguf, string huggingFace) in BlockParts)
            {
                yield return ($"blk.{i}.{gguf}.weight", $"model.layers.{i}.{huggingFace}.weight");
                yield return ($"blk.{i}.{gguf}.bias", $"model.layers.{i}.{huggingFace}.bias");
            }
        }
    }

    /// <summary>Hugging Face name to stored name, for every tensor that a file has of a model of this configuration.</summary>
    public static Dictionary<string, string> Translate(GgufFile file, DecoderConfig config) => All(config.Layers)
        .Where(pair => file.Contains(pair.Gguf))
        .ToDictionary(pair => pair.HuggingFace, pair => pair.Gguf, StringComparer.Ordinal);
}
