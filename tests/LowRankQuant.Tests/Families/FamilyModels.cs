using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;
using LowRankQuant.Numerics;

namespace LowRankQuant.Tests.Families;

/// <summary>
/// Small random checkpoints of every family at widths that are multiples of 256, which all grids and blocks divide: the configurations of the reference checkpoints with
/// other sizes, and tensors from a fixed seed.
/// </summary>
internal static class FamilyModels
{
    public const int Vocabulary = 320;
    private const int Width = 256;
    private const int HeadSize = 64;
    private const int Layers = 2;

    private static readonly string[] Widths =
    [
        "hidden_size", "n_embd", "n_embed", "d_model", "intermediate_size", "intermediate_size_mlp", "moe_intermediate_size", "shared_expert_intermediate_size", "ffn_dim",
        "n_inner", "ffn_hidden_size", "word_embed_proj_dim", "hidden_size_per_layer_input", "q_lora_rank", "kv_lora_rank",
        "shared_intermediate_size", "moe_shared_expert_intermediate_size", "block_ff_dim", "block_multiple_of",
    ];

    private static readonly Dictionary<string, int> Recurrent = new()
    {
        ["linear_num_key_heads"] = 2,
        ["linear_num_value_heads"] = Width / HeadSize,
        ["linear_key_head_dim"] = HeadSize,
        ["linear_value_head_dim"] = HeadSize,
        ["mamba_n_heads"] = 2 * Width / HeadSize,
        ["mamba_num_heads"] = 2 * Width / HeadSize,
        ["mamba_d_head"] = HeadSize,
        ["mamba_head_dim"] = HeadSize,
        ["mamba_d_ssm"] = 2 * Width,
        // So that rows of a projection to two groups of states and to eight steps are a multiple of 32.
        ["ssm_state_size"] = 14,
        ["state_size"] = 14,
    };

    /// <summary>Whether every method meets every family (LRQ_TESTS=all, an hour more); else some do everywhere, and each of the others with every seventh family.</summary>
    public static readonly bool EveryPair = Environment.GetEnvironmentVariable("LRQ_TESTS") == "all";

    /// <summary>A reference checkpoint of each kind that differs in how a block is put together.</summary>
    public static readonly string[] Cases =
    [
        "models/llama_bias", "models/mistral", "models/qwen2", "models/qwen3", "models/gemma", "models/gemma2", "models/gemma3_text", "models/phi3", "models/phi",
        "models/opt_125m", "models/opt_350m", "models/gpt2", "models/gpt_neox", "models/bloom", "models/falcon_7b", "models/falcon_40b", "models/falcon_rw", "models/mixtral",
        "models/qwen3_moe", "models/olmo2", "models/starcoder2", "models/granite", "models/smollm3", "models/stablelm_12b", "models/cohere_qk_norm", "models/cohere2",
        "models2/gpt_oss", "models2/gemma4_text", "models2/gemma4_moe", "models2/glm4_moe", "models2/ministral3", "models2/qwen2_moe", "models2/llama4_text", "models2/olmo3",
        "models2/minimax_m2", "models2/glm4", "models2/exaone4", "models2/hunyuan_v1_dense", "models2/seed_oss", "models2/ernie4_5", "models2/ernie4_5_moe", "models2/phimoe",
        "models2/olmoe", "models2/nemotron", "models2/apertus", "models2/gptj", "models2/codegen", "models2/mpt", "models2/gpt_bigcode", "models2/mimo_v2_flash", "models2/arcee",
        "models2/helium", "models2/persimmon", "models2/dbrx", "hybrids/deepseek_v2", "hybrids/deepseek_v3", "hybrids/mistral4",
        "hybrids/qwen3_5", "hybrids/qwen3_next", "hybrids/lfm2", "hybrids/lfm2_moe", "hybrids/lfm3", "hybrids/granitemoehybrid", "hybrids/nemotron_h", "hybrids/nemotron_h_moe",
        "hybrids/falcon_h1", "hybrids/bamba", "hybrids/mamba2", "hybrids/jamba", "hybrids/kimi_linear",
    ];

    /// <summary>Writes a checkpoint.</summary>
    /// <param name="name">One of <see cref="Cases"/>.</param>
    /// <param name="folder">Where it goes; created.</param>
    /// <param name="changes">Keys of its configuration with other values, as JSON; null for none.</param>
    public static void Write(string name, string folder, string? changes = null)
    {
        JsonObject config = JsonFile.ReadObject(Path.Combine(TestData.Path(["golden", .. name.Split('/')]), "config.json"));
        if (config["text_config"] is JsonObject text) config = (JsonObject)text.DeepClone();
        Resize(config);
        if (changes is not null)
        {
            foreach ((string key, JsonNode? value) in (JsonObject)JsonNode.Parse(changes)!) config[key] = value?.DeepClone();
        }
        Architecture architecture = ModelFamilies.Read(config, name);
        ModelLayout layout = architecture.Layout(_ => false);
        var shapes = new SortedDictionary<string, IReadOnlyList<int>>(StringComparer.Ordinal);
        foreach (TensorSpec tensor in layout.Tensors) shapes[tensor.View?.Stored ?? tensor.Name] = tensor.View?.StoredShape ?? tensor.Shape;
        int width = architecture.EmbeddingWidth ?? architecture.Config.HiddenSize;
        shapes[architecture.EmbeddingName] = [architecture.Config.VocabularySize, width];
        if (!architecture.Config.TiedEmbeddings) shapes[architecture.HeadName] = [architecture.Config.VocabularySize, width];
        Directory.CreateDirectory(folder);
        ulong number = 0;
        PendingTensor[] tensors = [.. shapes.Select(pair => PendingTensor.FromSingles(
            pair.Key, SafetensorsType.BF16, [.. pair.Value.Select(size => (long)size)], Values(pair.Key, pair.Value, ++number)))];
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), PendingTensor.ReferenceOrder(tensors));
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString());
    }

    private static void Resize(JsonObject config)
    {
        foreach (string key in Widths.Where(key => config[key] is JsonValue)) config[key] = Width;
        foreach (string key in new[] { "num_attention_heads", "n_head", "n_heads" }.Where(key => config[key] is JsonValue)) config[key] = Width / HeadSize;
        foreach (string key in new[] { "head_dim", "v_head_dim" }.Where(key => config[key] is JsonValue)) config[key] = HeadSize;
        // Where keys come from a latent there are as many as queries.
        if (config["num_key_value_heads"] is JsonValue) config["num_key_value_heads"] = config["kv_lora_rank"] is JsonValue ? Width / HeadSize : 2;
        if (config["qk_nope_head_dim"] is JsonValue) config["qk_nope_head_dim"] = 2 * HeadSize;
        if (config["qk_rope_head_dim"] is JsonValue) config["qk_rope_head_dim"] = HeadSize;
        if (config["global_head_dim"] is JsonValue) config["global_head_dim"] = 2 * HeadSize;
        foreach ((string key, int size) in Recurrent.Where(pair => config[pair.Key] is JsonValue)) config[key] = size;
        if (config["linear_attn_config"] is JsonObject delta) (delta["head_dim"], delta["num_heads"], delta["full_attn_layers"]) = (HeadSize, Width / HeadSize, new JsonArray(2));
        // Mamba's heads, twice the width of the stream.
        if (config["state_size"] is JsonValue) config["num_heads"] = 2 * Width / HeadSize;
        if (config["partial_rotary_factor"] is JsonValue) config["partial_rotary_factor"] = 0.5;
        if (config["rotary_dim"] is JsonValue) config["rotary_dim"] = HeadSize / 2;
        if (config["vocab_size_per_layer_input"] is JsonValue) config["vocab_size_per_layer_input"] = Vocabulary;
        if (config["ffn_config"] is JsonObject feed) feed["ffn_hidden_size"] = Width;
        config["vocab_size"] = Vocabulary;
        foreach (string key in new[] { "num_hidden_layers", "n_layer", "n_layers" }.Where(key => config[key] is JsonValue)) config[key] = Layers;
        if (config["rope_scaling"] is not JsonObject rope) return;
        double part = (double?)config["partial_rotary_factor"] ?? 1;
        foreach (string key in new[] { "short_factor", "long_factor" }.Where(key => rope[key] is JsonArray))
        {
            var factors = (JsonArray)rope[key]!;
            while (factors.Count < (int)(HeadSize * part) / 2) factors.Add((double)factors[^1]! + 0.5);
        }
    }

    private static float[] Values(string name, IReadOnlyList<int> shape, ulong number)
    {
        SeededRandom random = SeededRandom.Derive(2026, number);
        var values = new float[shape.Aggregate(1, (product, size) => product * size)];
        bool isNorm = shape.Count < 2 && (name.Contains("norm", StringComparison.Ordinal) || name.Contains("ln_", StringComparison.Ordinal)) && name.EndsWith("weight", StringComparison.Ordinal);
        double center = isNorm || name.EndsWith("_scalar", StringComparison.Ordinal) || name.EndsWith("scale", StringComparison.Ordinal) ? 1 : 0;
        double spread = shape.Count < 2 ? 0.1 : shape[0] == Vocabulary ? 1 : 0.7 / Math.Sqrt(shape[^1]);
        for (int i = 0; i < values.Length; i++) values[i] = (float)(center + (spread * random.NextGaussian()));
        return values;
    }
}
