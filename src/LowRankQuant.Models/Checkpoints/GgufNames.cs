using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Hugging Face names of the tensors of a llama-architecture GGUF file.</summary>
internal static class GgufNames
{
    private static readonly (string Gguf, string HuggingFace)[] BlockParts =
    [
        ("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm"),
        ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"),
        ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"),
    ];

    private static readonly (string Gguf, string HuggingFace)[] Outer =
    [
        ("token_embd.weight", "model.embed_tokens.weight"), ("output_norm.weight", "model.norm.weight"), ("output.weight", "lm_head.weight"),
    ];

    /// <summary>Hugging Face name to stored name, for every tensor that a model of this configuration has.</summary>
    public static Dictionary<string, string> Translate(GgufFile file, DecoderConfig config)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach ((string gguf, string huggingFace) in Outer)
        {
            if (file.Contains(gguf)) names[huggingFace] = gguf;
        }
        for (int i = 0; i < config.Layers; i++)
        {
            foreach ((string gguf, string huggingFace) in BlockParts)
            {
                foreach (string kind in (ReadOnlySpan<string>)["weight", "bias"])
                {
                    string stored = $"blk.{i}.{gguf}.{kind}";
                    if (file.Contains(stored)) names[$"model.layers.{i}.{huggingFace}.{kind}"] = stored;
                }
            }
        }
        return names;
    }
}
