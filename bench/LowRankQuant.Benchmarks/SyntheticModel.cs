using System.Globalization;
using System.Text.Json.Nodes;

namespace LowRankQuant.Benchmarks;

/// <summary>Writes checkpoints of random weights in bf16, to measure memory and time on sizes that no test model has.</summary>
internal static class SyntheticModel
{
    /// <summary>A Llama model; blocks from --filled on are holes in their files. With --spectrum yes linears have the spectrum of real ones.</summary>
    public static int Llama(Options options)
    {
        string output = options.Text("out") ?? throw new ArgumentException("make-llama needs --out FOLDER.");
        Sizes sizes = Sizes.Of(options, layers: 16, keyValueHeads: 8, head: null);
        int ffn = options.Number("ffn", 8192);
        int filled = options.Number("filled", sizes.Layers);
        bool spectrum = options.Text("spectrum") is not null;
        var tensors = new SyntheticTensors();
        tensors.Matrix("model.embed_tokens.weight", sizes.Vocabulary, sizes.Hidden, 1);
        for (int i = 0; i < sizes.Layers; i++)
        {
            string block = Block(i);
            Action<string, int, int> matrix = i >= filled ? tensors.Hole : spectrum ? tensors.Spectral : (name, rows, columns) => tensors.Matrix(name, rows, columns);
            tensors.Ones($"{block}.input_layernorm.weight", sizes.Hidden);
            Projections(matrix, block, sizes);
            tensors.Ones($"{block}.post_attention_layernorm.weight", sizes.Hidden);
            GatedMlp(matrix, $"{block}.mlp", sizes.Hidden, ffn);
        }
        Ends(tensors, sizes);
        tensors.Write(output, Tokenizer(options), Shard(options), new Dictionary<string, JsonNode?>(sizes.Config()) { ["intermediate_size"] = ffn });
        return 0;
    }

    /// <summary>A Qwen 3 model with experts in every block: a block of the usual sizes is one of Qwen3-30B-A3B.</summary>
    public static int Moe(Options options)
    {
        string output = options.Text("out") ?? throw new ArgumentException("make-moe needs --out FOLDER.");
        Sizes sizes = Sizes.Of(options, layers: 5, keyValueHeads: 4, head: 128);
        int experts = options.Number("experts", 128), width = options.Number("width", 768), chosen = options.Number("chosen", 8);
        var tensors = new SyntheticTensors();
        Action<string, int, int> matrix = (name, rows, columns) => tensors.Matrix(name, rows, columns);
        tensors.Matrix("model.embed_tokens.weight", sizes.Vocabulary, sizes.Hidden, 1);
        for (int i = 0; i < sizes.Layers; i++)
        {
            string block = Block(i);
            tensors.Ones($"{block}.input_layernorm.weight", sizes.Hidden);
            Projections(matrix, block, sizes);
            tensors.Ones($"{block}.self_attn.q_norm.weight", sizes.Head);
            tensors.Ones($"{block}.self_attn.k_norm.weight", sizes.Head);
            tensors.Ones($"{block}.post_attention_layernorm.weight", sizes.Hidden);
            tensors.Matrix($"{block}.mlp.gate.weight", experts, sizes.Hidden);
            for (int e = 0; e < experts; e++) GatedMlp(matrix, string.Create(CultureInfo.InvariantCulture, $"{block}.mlp.experts.{e}"), sizes.Hidden, width);
        }
        Ends(tensors, sizes);
        tensors.Write(output, Tokenizer(options), Shard(options), new Dictionary<string, JsonNode?>(sizes.Config())
        {
            ["architectures"] = new JsonArray("Qwen3MoeForCausalLM"),
            ["model_type"] = "qwen3_moe",
            ["intermediate_size"] = width * chosen,
            ["moe_intermediate_size"] = width,
            ["num_experts"] = experts,
            ["num_experts_per_tok"] = chosen,
            ["norm_topk_prob"] = true,
            ["decoder_sparse_step"] = 1,
            ["mlp_only_layers"] = new JsonArray(),
        });
        return 0;
    }

    private static string Block(int index) => string.Create(CultureInfo.InvariantCulture, $"model.layers.{index}");

    private static string Tokenizer(Options options) => options.Text("tokenizer") ?? Path.Combine("models", "demo");

    private static long Shard(Options options) => options.Number("shard-mb", 1000) * 1_000_000L;

    private static void Projections(Action<string, int, int> matrix, string block, Sizes sizes)
    {
        matrix($"{block}.self_attn.q_proj.weight", sizes.Heads * sizes.Head, sizes.Hidden);
        matrix($"{block}.self_attn.k_proj.weight", sizes.KeyValueHeads * sizes.Head, sizes.Hidden);
        matrix($"{block}.self_attn.v_proj.weight", sizes.KeyValueHeads * sizes.Head, sizes.Hidden);
        matrix($"{block}.self_attn.o_proj.weight", sizes.Hidden, sizes.Heads * sizes.Head);
    }

    private static void GatedMlp(Action<string, int, int> matrix, string name, int hidden, int width)
    {
        matrix($"{name}.gate_proj.weight", width, hidden);
        matrix($"{name}.up_proj.weight", width, hidden);
        matrix($"{name}.down_proj.weight", hidden, width);
    }

    private static void Ends(SyntheticTensors tensors, Sizes sizes)
    {
        tensors.Ones("model.norm.weight", sizes.Hidden);
        tensors.Matrix("lm_head.weight", sizes.Vocabulary, sizes.Hidden);
    }

    private sealed record Sizes(int Hidden, int Layers, int Heads, int KeyValueHeads, int Head, int Vocabulary)
    {
        public static Sizes Of(Options options, int layers, int keyValueHeads, int? head)
        {
            int hidden = options.Number("hidden", 2048), heads = options.Number("heads", 32);
            return new Sizes(
                hidden, options.Number("layers", layers), heads, options.Number("kv-heads", keyValueHeads), options.Number("head", head ?? hidden / heads), options.Number("vocabulary", 32000));
        }

        public Dictionary<string, JsonNode?> Config() => new(StringComparer.Ordinal)
        {
            ["head_dim"] = Head,
            ["hidden_size"] = Hidden,
            ["max_position_embeddings"] = 2048,
            ["num_attention_heads"] = Heads,
            ["num_hidden_layers"] = Layers,
            ["num_key_value_heads"] = KeyValueHeads,
            ["tie_word_embeddings"] = false,
            ["vocab_size"] = Vocabulary,
        };
    }
}
