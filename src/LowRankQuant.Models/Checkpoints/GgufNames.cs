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

    private static IEnumerable<string> Required(int layers) => Outer.Select(pair => pair.Gguf).Where(name => name != Outer[^1].Gguf)
        .Concat(Enumerable.Range(0, layers).SelectMany(block => BlockParts.Select(part => $"blk.{block}.{part.Gguf}.weight")));

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

    /// <summary>Refuses tensors that the architecture has no place for, and blocks that are not whole.</summary>
    /// <param name="file">The file.</param>
    /// <param name="config">Its configuration.</param>
    /// <exception cref="CheckpointException">A tensor is one too many, or absent.</exception>
    public static void Check(GgufFile file, DecoderConfig config)
    {
        if (config.Layers > file.Names.Count)
            throw new CheckpointException($"{file.Location}: 'llama.block_count' is {config.Layers}, and the file has {file.Names.Count} tensors; the file is not whole.");
        HashSet<string> known = [RopeFactors, .. All(config.Layers).Select(pair => pair.Gguf).Where(name => !name.EndsWith("_norm.bias", StringComparison.Ordinal))];
        foreach (string name in file.Names)
        {
            // Old converters kept the rotary frequencies, which follow from the metadata and which llama.cpp does not read.
            if (known.Contains(name) || name.EndsWith("attn_rot_embd.weight", StringComparison.Ordinal)) continue;
            string[] parts = name.Split('.');
            bool beyond = parts is ["blk", var number, ..] && int.TryParse(number, System.Globalization.CultureInfo.InvariantCulture, out int block) && block >= config.Layers;
            throw new CheckpointException(beyond
                ? $"{file.Location}: tensor '{name}' belongs to no block: 'llama.block_count' is {config.Layers}. The file was put together wrongly; make it again."
                : $"{file.Location}: tensor '{name}' has no place in the llama architecture, and llama.cpp refuses such a file; without it the model would be another.");
        }
        foreach (string name in Required(config.Layers).Where(name => !file.Contains(name)))
            throw new CheckpointException($"{file.Location}: tensor '{name}' is absent, and 'llama.block_count' is {config.Layers}; the file is not whole.");
        string head = Outer[^1].Gguf;
        if (file.Contains(head) && !file.ShapeOf(head).SequenceEqual([config.VocabularySize, config.HiddenSize]))
            throw new CheckpointException($"{file.Location}: tensor '{head}' has shape [{string.Join(", ", file.ShapeOf(head))}]; an output head has that of the embedding, [{config.VocabularySize}, {config.HiddenSize}].");
    }

    /// <summary>Hugging Face name to stored name, for every tensor that a file has of a model of this configuration.</summary>
    public static Dictionary<string, string> Translate(GgufFile file, DecoderConfig config) => All(config.Layers)
        .Where(pair => file.Contains(pair.Gguf))
        .ToDictionary(pair => pair.HuggingFace, pair => pair.Gguf, StringComparer.Ordinal);
}
