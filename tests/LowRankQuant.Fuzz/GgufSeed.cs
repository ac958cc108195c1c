using System.Text;

namespace LowRankQuant.Fuzz;

/// <summary>Small GGUF files with everything that decides how a model and its vocabulary are read; real ones are too long to mutate well.</summary>
internal static class GgufSeed
{
    private const uint UInt32 = 4, Int32 = 5, Float32 = 6, Bool = 7, String = 8, Array = 9;

    /// <summary>A Llama of one block with an SPM or BPE vocabulary of 32 tokens.</summary>
    public static byte[] Model(bool bpe)
    {
        var keys = new List<byte[]>
        {
            Text("general.architecture", "llama"), Number("llama.block_count", 1), Number("llama.context_length", 64), Number("llama.embedding_length", 32),
            Number("llama.feed_forward_length", 32), Number("llama.attention.head_count", 2), Number("llama.attention.head_count_kv", 1),
            Number("llama.vocab_size", 32), Number("llama.rope.dimension_count", 16), Pair("llama.attention.layer_norm_rms_epsilon", Float32, BitConverter.GetBytes(1e-5f)),
            Text("llama.rope.scaling.type", "linear"), Pair("llama.rope.scaling.factor", Float32, BitConverter.GetBytes(2f)),
            Pair("llama.rope.freq_base", Float32, BitConverter.GetBytes(10000f)), Number("tokenizer.ggml.bos_token_id", 1), Number("tokenizer.ggml.eos_token_id", 2),
            Number("tokenizer.ggml.unknown_token_id", 0), Pair("tokenizer.ggml.add_bos_token", Bool, [1]), Pair("tokenizer.ggml.add_space_prefix", Bool, [0]),
            Text("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}"), Text("tokenizer.ggml.model", bpe ? "gpt2" : "llama"),
            Strings("tokenizer.ggml.tokens", [.. Enumerable.Range(0, 32).Select(i => Token(i, bpe))]),
            Pair("tokenizer.ggml.token_type", Array, [.. BitConverter.GetBytes(Int32), .. BitConverter.GetBytes(32L), .. Enumerable.Range(0, 32).SelectMany(i => BitConverter.GetBytes(i == 0 ? 2 : i < 3 ? 3 : i < 8 && !bpe ? 6 : 1))]),
        };
        if (bpe) keys.AddRange([Text("tokenizer.ggml.pre", "gpt-2"), Strings("tokenizer.ggml.merges", ["a a", "H e", "l l", "He ll"])]);
        else keys.Add(Pair("tokenizer.ggml.scores", Array, [.. BitConverter.GetBytes(Float32), .. BitConverter.GetBytes(32L), .. Enumerable.Range(0, 32).SelectMany(i => BitConverter.GetBytes((float)-i))]));
        (string Name, uint Type, long[] Dimensions, int Bytes)[] tensors =
        [
            ("token_embd.weight", 0, [32, 32], 4096), ("blk.0.attn_q.weight", 2, [32, 32], 576), ("blk.0.attn_k.weight", 8, [32, 16], 544), ("output_norm.weight", 0, [32], 128),
        ];
        var file = new List<byte>([.. "GGUF"u8, .. BitConverter.GetBytes(3), .. BitConverter.GetBytes((long)tensors.Length), .. BitConverter.GetBytes((long)keys.Count)]);
        foreach (byte[] key in keys) file.AddRange(key);
        long offset = 0;
        foreach ((string name, uint type, long[] dimensions, int bytes) in tensors)
        {
            file.AddRange([.. Bytes(name), .. BitConverter.GetBytes(dimensions.Length), .. dimensions.SelectMany(BitConverter.GetBytes), .. BitConverter.GetBytes(type), .. BitConverter.GetBytes(offset)]);
            offset += (bytes + 31) / 32 * 32;
        }
        file.AddRange(new byte[((32 - (file.Count % 32)) % 32) + offset]);
        return [.. file];
    }

    private static string Token(int id, bool bpe) => id switch
    {
        0 => "<unk>",
        1 => "<s>",
        2 => "</s>",
        < 8 when !bpe => $"<0x{id - 3:X2}>",
        _ => (bpe ? new[] { "a", "H", "e", "l", "o", "aa", "He", "ll", "Hell", "\u0120", "w", "r", "d" } : ["\u2581", "a", "aa", "H", "He", "l", "ll", "o", "\u2581w"]).ElementAtOrDefault(id - 8) ?? $"t{id}",
    };

    private static byte[] Pair(string key, uint type, byte[] value) => [.. Bytes(key), .. BitConverter.GetBytes(type), .. value];

    private static byte[] Text(string key, string value) => Pair(key, String, Bytes(value));

    private static byte[] Number(string key, uint value) => Pair(key, UInt32, BitConverter.GetBytes(value));

    private static byte[] Strings(string key, string[] values) =>
        Pair(key, Array, [.. BitConverter.GetBytes(String), .. BitConverter.GetBytes((long)values.Length), .. values.SelectMany(Bytes)]);

    private static byte[] Bytes(string text) => [.. BitConverter.GetBytes((long)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];
}
