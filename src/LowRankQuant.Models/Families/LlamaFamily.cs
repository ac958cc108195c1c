using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families;

/// <summary>
/// Llama 1, 2 and 3, SmolLM2, TinyLlama: pre-norm RMSNorm, rotary grouped-query attention, SwiGLU. <c>post_attention_layernorm</c> is the norm in
/// front of the MLP here.
/// </summary>
internal sealed class LlamaFamily : IModelFamily
{
    private const string Blocks = "model.layers.";
    private static readonly string[] Norms = ["input_layernorm", "post_attention_layernorm"];

    // Far beyond any model; more would keep whatever lists the tensors of all blocks busy for ever.
    private const int MostLayers = 1 << 14;

    public IReadOnlyList<string> ModelTypes => ["llama"];

    public string EmbeddingName => "model.embed_tokens.weight";

    public string HeadName => "lm_head.weight";

    public string FinalNormName => "model.norm.weight";

    public string BlockName(int index) => Blocks + index.ToString(CultureInfo.InvariantCulture);

    public DecoderConfig ReadConfig(JsonObject json, string file)
    {
        var config = new ConfigReader(json, file);
        int hidden = config.Size("hidden_size"), heads = config.Size("num_attention_heads"), keyValueHeads = config.Size("num_key_value_heads", heads);
        if (heads % keyValueHeads != 0) throw config.Wrong("num_key_value_heads", json["num_key_value_heads"], $"must divide num_attention_heads, {heads}");
        if (json["head_dim"] is null && hidden % heads != 0) throw config.Wrong("num_attention_heads", json["num_attention_heads"], $"must divide hidden_size, {hidden}, when head_dim is absent");
        int headSize = config.Size("head_dim", hidden / heads), maxPositions = config.Size("max_position_embeddings", 2048);
        return new DecoderConfig
        {
            ModelType = "llama",
            HiddenSize = hidden,
            Layers = config.Size("num_hidden_layers", most: MostLayers),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadSize = headSize,
            IntermediateSize = config.Size("intermediate_size"),
            VocabularySize = config.Size("vocab_size"),
            MaxPositions = maxPositions,
            NormEpsilon = config.Epsilon("rms_norm_eps", 1e-6f),
            Activation = config.Activation("hidden_act", "silu"),
            Rope = config.Rope(headSize, maxPositions),
            TiedEmbeddings = config.Flag("tie_word_embeddings", false),
            AttentionBias = config.Flag("attention_bias", false),
            MlpBias = config.Flag("mlp_bias", false),
            BosId = config.Ids("bos_token_id") is [var bos, ..] ? bos : null,
            EosIds = config.Ids("eos_token_id"),
        };
    }

    public IReadOnlyList<(string Name, int OutFeatures, int InFeatures)> Linears(DecoderConfig config)
    {
        int d = config.HiddenSize, q = config.Heads * config.HeadSize, kv = config.KeyValueHeads * config.HeadSize, f = config.IntermediateSize;
        return
        [
            ("self_attn.q_proj", q, d), ("self_attn.k_proj", kv, d), ("self_attn.v_proj", kv, d), ("self_attn.o_proj", d, q),
            ("mlp.gate_proj", f, d), ("mlp.up_proj", f, d), ("mlp.down_proj", d, f),
        ];
    }

    public IReadOnlyList<BiasGroup> BiasGroups =>
    [
        new("attention_bias", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"],
            config => config.AttentionBias, config => config with { AttentionBias = true }),
        new("mlp_bias", ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"], config => config.MlpBias, config => config with { MlpBias = true }),
    ];

    public IEnumerable<string> Tensors(DecoderConfig config)
    {
        string[] biased = [.. BiasGroups.Where(group => group.IsOn(config)).SelectMany(group => group.Linears)];
        for (int index = 0; index < config.Layers; index++)
        {
            string block = BlockName(index);
            foreach ((string linear, _, _) in Linears(config)) yield return $"{block}.{linear}.weight";
            foreach (string linear in biased) yield return $"{block}.{linear}.bias";
            foreach (string norm in Norms) yield return $"{block}.{norm}.weight";
        }
        yield return FinalNormName;
    }

    public int? BlockOf(string tensor)
    {
        if (!tensor.StartsWith(Blocks, StringComparison.Ordinal)) return null;
        int end = tensor.IndexOf('.', Blocks.Length);
        return end > 0 && int.TryParse(tensor.AsSpan(Blocks.Length, end - Blocks.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int index) ? index : null;
    }

    public bool Owns(string tensor) => tensor.StartsWith("model.", StringComparison.Ordinal) || tensor.StartsWith("lm_head.", StringComparison.Ordinal);

    public DecoderBlock LoadBlock(ICheckpoint checkpoint, Device device, RopeTables rope, int index)
    {
        DecoderConfig config = checkpoint.Config;
        string block = BlockName(index);
        LinearSlot[] slots = [.. Linears(config).Select(linear => checkpoint.LoadLinear(
            device, block, linear.Name, linear.OutFeatures, linear.InFeatures,
            linear.Name.StartsWith("mlp", StringComparison.Ordinal) ? config.MlpBias : config.AttentionBias))];
        return new DecoderBlock
        {
            Index = index,
            Name = block,
            AttentionNorm = new RmsNorm(checkpoint.Load(device, $"{block}.input_layernorm.weight", config.HiddenSize), config.NormEpsilon),
            Attention = new Attention
            {
                Query = slots[0],
                Key = slots[1],
                Value = slots[2],
                Output = slots[3],
                Heads = config.Heads,
                KeyValueHeads = config.KeyValueHeads,
                HeadSize = config.HeadSize,
                Scale = config.AttentionScale ?? (float)(1 / Math.Sqrt(config.HeadSize)),
                Window = config.SlidingWindow,
                Rope = rope,
            },
            MlpNorm = new RmsNorm(checkpoint.Load(device, $"{block}.post_attention_layernorm.weight", config.HiddenSize), config.NormEpsilon),
            Mlp = new GatedMlp { Gate = slots[4], Up = slots[5], Down = slots[6], Activation = config.Activation },
        };
    }

    public INorm LoadFinalNorm(ICheckpoint checkpoint, Device device) =>
        new RmsNorm(checkpoint.Load(device, FinalNormName, checkpoint.Config.HiddenSize), checkpoint.Config.NormEpsilon);
}
