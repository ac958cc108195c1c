using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>The configuration that a GGUF file's metadata stands for.</summary>
/// <param name="Json">As config.json has it.</param>
/// <param name="Model">What its family makes of it.</param>
/// <param name="Warnings">Keys that were left out.</param>
internal sealed record GgufConfig(JsonObject Json, Architecture Model, IReadOnlyList<string> Warnings)
{
    private const string Llama = "llama", Embedding = "token_embd.weight", Head = "output.weight";

    /// <summary>Reads it.</summary>
    /// <exception cref="UnsupportedModelException">The architecture has no family here, or a key asks for another function than the family's.</exception>
    /// <exception cref="CheckpointException">A value that every loader insists on is missing, or one is unsound.</exception>
    public static GgufConfig Read(GgufFile file)
    {
        string architecture = file.Metadata.GetString("general.architecture");
        if (architecture != Llama)
            throw new UnsupportedModelException($"{file.Location}: architecture '{architecture}' is not supported; supported is {Llama}.");
        IReadOnlyList<string> warnings = GgufKeys.Check(file);
        JsonObject json = Sizes(file);
        if (GgufRope.Scaling(file, (long)json["head_dim"]!, out float[]? divisors) is { } scaling) json["rope_scaling"] = scaling;
        // No parameters of config.json stand for a table; nothing is written that holds this key.
        if (divisors is not null) json["rope_scaling"] = new JsonObject { ["rope_type"] = "table", ["divisors"] = new JsonArray([.. divisors.Select(divisor => JsonValue.Create(divisor))]) };
        return new GgufConfig(json, ModelFamilies.Read(json, file.Location), warnings);
    }

    private static JsonObject Sizes(GgufFile file)
    {
        GgufMetadata metadata = file.Metadata;
        long heads = Required("attention.head_count"), hidden = Required("embedding_length");
        if (heads < 1 || hidden < 1) throw Wrong("attention.head_count", heads, "must be positive, as the embedding_length");
        long headSize = Find("attention.key_length") ?? hidden / heads;
        if (Find("attention.value_length") is { } valueSize && valueSize != headSize) throw Wrong("attention.value_length", valueSize, $"must be that of the keys, {headSize}");
        if (Find("rope.dimension_count") is { } rotated && rotated != headSize)
            throw Wrong("rope.dimension_count", rotated, $"must be the size of a head, {headSize}: llama.cpp rotates whole heads in this architecture");
        JsonObject json = new()
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["model_type"] = Llama,
            ["hidden_size"] = hidden,
            ["num_hidden_layers"] = Required("block_count"),
            ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = Find("attention.head_count_kv") ?? heads,
            ["head_dim"] = headSize,
            ["intermediate_size"] = Required("feed_forward_length"),
            ["max_position_embeddings"] = Required("context_length"),
            ["rms_norm_eps"] = GgufRope.Shortest(metadata.FindDouble("llama.attention.layer_norm_rms_epsilon")
                ?? throw Missing("llama.attention.layer_norm_rms_epsilon")),
            ["rope_theta"] = GgufRope.Theta(file),
            ["hidden_act"] = "silu",
            ["vocab_size"] = file.Contains(Embedding) ? file.ShapeOf(Embedding)[0] : throw Missing(Embedding),
            ["tie_word_embeddings"] = !file.Contains(Head),
            ["attention_bias"] = HasBias("attn_"),
            ["mlp_bias"] = HasBias("ffn_"),
            ["torch_dtype"] = "float16",
        };
        foreach ((string key, string stored) in new[] { ("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id"), ("pad_token_id", "padding_token_id") })
        {
            if (metadata.FindInt64($"tokenizer.ggml.{stored}") is { } id) json[key] = id;
        }
        return json;

        long Required(string key) => Find(key) ?? throw Missing($"{Llama}.{key}");

        // Some writers give a number a block; one that all blocks share is as good as one for all.
        long? Find(string key)
        {
            string name = $"{Llama}.{key}";
            if (!metadata.All.TryGetValue(name, out GgufValue? value) || value.Type != GgufValueType.Array) return metadata.FindInt64(name);
            long[] list = metadata.FindInt64s(name)!;
            return list.Length > 0 && list.Distinct().Count() == 1 ? list[0]
                : throw new UnsupportedModelException($"{file.Location}: '{name}' differs from block to block; one number for all blocks is supported.");
        }

        bool HasBias(string part) => file.Names.Any(tensor => tensor.StartsWith("blk.", StringComparison.Ordinal) && tensor.EndsWith(".bias", StringComparison.Ordinal)
            && tensor.Contains($".{part}", StringComparison.Ordinal) && !tensor.Contains("_norm.", StringComparison.Ordinal));

        CheckpointException Missing(string key) => new($"{file.Location}: '{key}' is missing; every loader of this architecture needs it.");

        CheckpointException Wrong(string key, long value, string rule) => new($"{file.Location}: '{Llama}.{key}' is {value}; it {rule}.");
    }
}
