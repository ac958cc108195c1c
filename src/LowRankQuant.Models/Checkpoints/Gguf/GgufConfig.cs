using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>The configuration that a GGUF file's metadata stands for.</summary>
/// <param name="Json">As config.json has it.</param>
/// <param name="Model">What its family makes of it.</param>
/// <param name="Warnings">Keys that were left out.</param>
internal sealed record GgufConfig(JsonObject Json, Architecture Model, IReadOnlyList<string> Warnings)
{
    /// <summary>Reads it.</summary>
    /// <exception cref="UnsupportedModelException">The architecture has no family here, or a key asks for another function than the family's.</exception>
    /// <exception cref="CheckpointException">A value that every loader insists on is missing, or one is unsound.</exception>
    public static GgufConfig Read(GgufFile file)
    {
        string name = file.Metadata.GetString("general.architecture");
        GgufArchitecture architecture = ModelFamilies.ForGguf(name, file);
        IReadOnlyList<string> warnings = GgufKeys.Check(file, architecture);
        var reading = new GgufReading(file, name);
        CheckExperts(reading);
        Usual(architecture, reading);
        if (architecture.Pairs != GgufPairs.None) GgufRope.Read(architecture, reading);
        foreach (GgufField field in architecture.Fields) field.Read(reading);
        return new GgufConfig(reading.Json, ModelFamilies.Read(reading.Json, file.Location), warnings);
    }

    // So that nobody lists more experts than the file can hold.
    private static void CheckExperts(GgufReading reading)
    {
        const string Key = "expert_count";
        long experts = reading.Whole(Key) ?? 0;
        if (experts == 0) return;
        string? stack = reading.File.Names.FirstOrDefault(name => name.EndsWith("_exps.weight", StringComparison.Ordinal));
        if (stack is null || reading.File.ShapeOf(stack)[0] != experts)
        {
            string found = stack is null ? "no tensor of experts (ffn_..._exps.weight)" : $"{reading.File.ShapeOf(stack)[0]} in '{stack}'";
            throw new CheckpointException($"{reading.File.Location}: '{reading.Name(Key)}' is {experts}, and the file holds {found}; the two must agree.");
        }
    }

    private static void Usual(GgufArchitecture architecture, GgufReading reading)
    {
        GgufFile file = reading.File;
        HashSet<string> own = [.. architecture.Fields.Select(field => field.Key)];
        long hidden = Required("embedding_length"), heads = architecture.HasHeads ? Required("attention.head_count") : 1;
        if (heads < 1 || hidden < 1) throw Wrong("attention.head_count", heads, "must be positive, as the embedding_length");
        long headSize = reading.Whole("attention.key_length") ?? hidden / heads;
        if (!own.Contains("attention.value_length") && reading.Whole("attention.value_length") is { } valueSize && valueSize != headSize)
            throw Wrong("attention.value_length", valueSize, $"must be that of the keys, {headSize}");
        if (architecture.RotatesWholeHeads && reading.Whole("rope.dimension_count") is { } rotated && rotated != headSize)
            throw Wrong("rope.dimension_count", rotated, $"must be the size of a head, {headSize}: llama.cpp rotates whole heads in this architecture");
        reading.Json["architectures"] = new JsonArray(architecture.Class);
        reading.Json["model_type"] = architecture.ModelType;
        Set("hidden_size", hidden);
        Set("num_hidden_layers", Required("block_count") - (own.Contains("nextn_predict_layers") ? reading.Whole("nextn_predict_layers") ?? 0 : 0));
        if (architecture.HasHeads)
        {
            Set("num_attention_heads", heads);
            if (!own.Contains("attention.head_count_kv")) Set("num_key_value_heads", reading.Whole("attention.head_count_kv") ?? heads);
            Set("head_dim", headSize);
        }
        if (!own.Contains("feed_forward_length")) Set("intermediate_size", Required("feed_forward_length"));
        Set("max_position_embeddings", Required("context_length"));
        Set("rms_norm_eps", reading.Number(architecture.Epsilon) ?? throw Missing(reading.Name(architecture.Epsilon)));
        if (architecture.Pairs != GgufPairs.None) Set("rope_theta", GgufRope.Theta(reading));
        Set("hidden_act", architecture.ActivationName);
        Set("vocab_size", file.Contains(GgufNames.Embedding) ? file.ShapeOf(GgufNames.Embedding)[0] : throw Missing(GgufNames.Embedding));
        Set("tie_word_embeddings", !file.Contains(GgufNames.Head));
        foreach ((string key, string tensors) in architecture.BiasKeys) Set(key, HasBias(tensors));
        Set("torch_dtype", "float16");
        foreach ((string key, string stored) in new[] { ("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id"), ("pad_token_id", "padding_token_id") })
        {
            if (file.Metadata.FindInt64($"tokenizer.ggml.{stored}") is { } id) reading.Json[key] = id;
        }

        void Set(string usual, JsonNode? value)
        {
            if (architecture.ConfigKey(usual) is { } key) reading.Json[key] = value;
        }

        long Required(string key) => reading.Whole(key) ?? throw Missing(reading.Name(key));

        bool HasBias(string part) => file.Names.Any(tensor => tensor.StartsWith("blk.", StringComparison.Ordinal) && tensor.EndsWith(".bias", StringComparison.Ordinal)
            && tensor.Contains($".{part}", StringComparison.Ordinal) && !tensor.Contains("_norm.", StringComparison.Ordinal));

        CheckpointException Missing(string key) => new($"{file.Location}: '{key}' is missing; every loader of this architecture needs it.");

        CheckpointException Wrong(string key, long value, string rule) => new($"{file.Location}: '{reading.Name(key)}' is {value}; it {rule}.");
    }
}
