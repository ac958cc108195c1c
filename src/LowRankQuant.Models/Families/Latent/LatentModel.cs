using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Latent;

/// <summary>What a family with latent attention has otherwise than others, and what its configuration means where it does not say it.</summary>
internal sealed record LatentRule
{
    /// <summary>Keys that all families have.</summary>
    public FamilyDefaults Common { get; init; } = new();

    /// <summary>Width of the queries' latent.</summary>
    public int QueryRank { get; init; } = 1536;

    /// <summary>Width of the latent.</summary>
    public int Rank { get; init; } = 512;

    /// <summary>Elements of a head that do not rotate.</summary>
    public int Plain { get; init; } = 128;

    /// <summary>Elements of a head that rotate.</summary>
    public int Rotated { get; init; } = 64;

    /// <summary>Elements of a head of values.</summary>
    public int Values { get; init; } = 128;

    /// <summary>Whether a key says if pairs are neighbours, which they are where it is absent.</summary>
    public bool SaysPairs { get; init; } = true;

    /// <summary>The rotation, but for what rotates and in which pairs.</summary>
    public RopeRule Rope { get; init; } = new();

    /// <summary>By how much queries grow with their position where no parameters of the rotation are given; null where they do not.</summary>
    public double? Growth { get; init; }

    /// <summary>Number of experts.</summary>
    public int? Experts { get; init; }

    /// <summary>Width of an expert.</summary>
    public int? ExpertWidth { get; init; }

    /// <summary>Experts for every token.</summary>
    public int Shared { get; init; } = 1;

    /// <summary>Dense blocks in front.</summary>
    public int Dense { get; init; }

    /// <summary>Name within the block of what corrects choices of experts; null for none.</summary>
    public string? Correction { get; init; }

    /// <summary>Whether experts are stacked where no file tells otherwise.</summary>
    public bool Stacked { get; init; }

    /// <summary>What stands in front of the names of router, experts and shared experts.</summary>
    public string ExpertPrefix { get; init; } = "mlp";

    /// <summary>Names of gate, up and down of an expert; null for the usual ones.</summary>
    public (string Gate, string Up, string Down)? ExpertNames { get; init; }

    /// <summary>Key of the number of experts for every token.</summary>
    public string SharedKey { get; init; } = "n_shared_experts";

    /// <summary>Whether the elements that rotate do so.</summary>
    public bool Rotates { get; init; } = true;

    /// <summary>The mixer of a block that has no latent attention; null for one that does.</summary>
    public Func<BlockParts, IMixer?> OtherMixer { get; init; } = _ => null;
}

/// <summary>
/// What families with latent attention share: the keys of its sizes, the scale (n + r)^-0.5 m^2 with m of YaRN's mscale_all_dim, dense blocks in front, experts beside one MLP
/// for every token, and blocks behind the last that predict further tokens.
/// </summary>
internal sealed class LatentModel
{
    // Whatever rms_norm_eps says.
    private const float LatentEpsilon = 1e-6f;
    private readonly int? _queryRank;
    private readonly int _rank, _rotated, _expertWidth, _sharedWidth, _extra;
    private readonly BiasRule _bias;
    private readonly bool[] _dense;
    private readonly Func<int, float>? _queryFactor;
    private readonly LatentRule _rule;

    /// <summary>Reads what is shared.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="usual">What the family has, and what absent keys mean.</param>
    public LatentModel(ConfigReader reader, LatentRule usual)
    {
        _rule = usual;
        int plain = reader.Size("qk_nope_head_dim", usual.Plain);
        _rotated = reader.Size("qk_rope_head_dim", usual.Rotated);
        // head_dim is written as this or that part of a head, and key heads are as many as heads once they are made.
        DecoderConfig read = reader.Decoder(usual.Common with { Rope = null, HeadSize = plain + _rotated });
        bool pairs = !usual.SaysPairs || reader.Flag("rope_interleave", true);
        RopeConfig rope = reader.Rope(_rotated, read.MaxPositions, usual.Rope with { Rotated = _rotated, Interleaved = pairs });
        double temperature = rope is { Scaling: RopeScaling.Yarn, MScaleAllDim: { } all and not 0 } ? RopeFrequencies.Temperature(rope, all) : 1;
        Config = read with
        {
            HeadSize = plain + _rotated,
            KeyValueHeads = read.Heads,
            Rope = rope,
            AttentionScale = (float)(temperature * temperature / Math.Sqrt(plain + _rotated)),
        };
        if (usual.Growth is not null)
            _queryFactor = Standard.GrowingQueries(reader.Has(RopeReader.Parameters) ? reader.Part(RopeReader.Parameters).Number(Standard.GrowthKey) : usual.Growth, rope);
        _queryRank = reader.IsNull("q_lora_rank") ? null : reader.Size("q_lora_rank", usual.QueryRank);
        _rank = reader.Size("kv_lora_rank", usual.Rank);
        Shape = Standard.Shape(Config) with { ValueHead = reader.Size("v_head_dim", usual.Values) };
        _bias = reader.Bias("attention_bias", false);
        Experts = reader.Size(reader.FirstOf("n_routed_experts", "num_local_experts", "num_experts"), usual.Experts);
        _expertWidth = reader.Size("moe_intermediate_size", usual.ExpertWidth);
        _sharedWidth = _expertWidth * reader.Count(usual.SharedKey, usual.Shared);
        _extra = reader.Count("num_nextn_predict_layers", 0);
        int first = reader.Count("first_k_dense_replace", usual.Dense);
        _dense = [.. reader.Words("mlp_layer_types", Config.Layers)?.Select(word => IsDense(reader, word)) ?? Enumerable.Range(0, Config.Layers).Select(layer => layer < first)];
        if (reader.Size("moe_layer_freq", 1) is not 1 and var every) throw reader.Unsupported("moe_layer_freq", $"{every}");
        if (reader.Flag("mlp_bias", false)) throw reader.Unsupported("mlp_bias", "true");
    }

    /// <summary>Sizes and choices; a head is its plain and its rotated part.</summary>
    public DecoderConfig Config { get; }

    /// <summary>Sizes of attention.</summary>
    public AttentionShape Shape { get; }

    /// <summary>Number of experts.</summary>
    public int Experts { get; }

    /// <summary>The word under a key of which only some are computed as asked for; null where it is absent.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="key">The key.</param>
    /// <param name="values">The words.</param>
    /// <exception cref="UnsupportedModelException">It is another.</exception>
    public static string? Known(ConfigReader reader, string key, params ReadOnlySpan<string> values)
    {
        string? word = reader.Text(key);
        return word is null || values.Contains(word) ? word : throw reader.Unsupported(key, word);
    }

    /// <summary>The model.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="routing">How experts are chosen.</param>
    /// <exception cref="CheckpointException">They cannot be chosen so.</exception>
    public Architecture Build(ConfigReader reader, Routing routing)
    {
        try
        {
            routing.Check();
        }
        catch (ArgumentException wrong)
        {
            throw new CheckpointException($"{reader.File}: {wrong.Message}", wrong);
        }
        return new Architecture
        {
            Config = Config,
            ExtraBlocks = _extra,
            Block = parts => Standard.PreNorm(parts, Config, _rule.OtherMixer(parts) ?? Attention(parts), _dense[parts.Index] ? Standard.GatedMlp(parts, Config) : Sparse(parts, routing)),
            FinalNorm = parts => parts.RmsNorm("model.norm", Config.HiddenSize, Config.NormEpsilon),
        };
    }

    private static bool IsDense(ConfigReader reader, string word) => word switch
    {
        "dense" => true,
        "sparse" => false,
        _ => throw reader.Unsupported("mlp_layer_types", word),
    };

    private LatentAttention Attention(BlockParts parts)
    {
        int d = Config.HiddenSize, width = Shape.Heads * Shape.HeadSize, values = Shape.Heads * Shape.ValueHeadSize;
        // In the order of the computation. A query from x itself has no bias by any key.
        LinearSlot? queryLatent = _queryRank is { } rank ? parts.Linear("self_attn.q_a_proj", rank, d, _bias) : null;
        return new LatentAttention
        {
            QueryLatent = queryLatent,
            QueryNorm = queryLatent is null ? null : parts.RmsNorm("self_attn.q_a_layernorm", queryLatent.OutFeatures, LatentEpsilon),
            Query = queryLatent is null ? parts.Linear("self_attn.q_proj", width, d) : parts.Linear("self_attn.q_b_proj", width, queryLatent.OutFeatures),
            Latent = parts.Linear("self_attn.kv_a_proj_with_mqa", _rank + _rotated, d, _bias),
            LatentNorm = parts.RmsNorm("self_attn.kv_a_layernorm", _rank, LatentEpsilon),
            KeyValue = parts.Linear("self_attn.kv_b_proj", width - (Shape.Heads * _rotated) + values, _rank),
            Output = parts.Linear("self_attn.o_proj", d, values, _bias),
            Shape = Shape,
            RotatedSize = _rotated,
            Rope = _rule.Rotates ? parts.Rope(Config.Rope) : null,
            QueryFactor = _queryFactor,
        };
    }

    // Some files of a family hold experts in stacks, others one by one.
    private Experts Sparse(BlockParts parts, Routing routing)
    {
        string prefix = $"{_rule.ExpertPrefix}.experts", gate = $"{_rule.ExpertPrefix}.gate";
        var made = new ExpertParts(prefix, Experts, Config.HiddenSize, _expertWidth)
        {
            Storage = parts.IsStored($"{prefix}.gate_up_proj") || _rule.Stacked ? ExpertStorage.Stacked : ExpertStorage.Apart,
            Activation = Config.Activation,
        };
        if (_rule.ExpertNames is { } names) made = made with { Names = names };
        Experts experts = _rule.Correction is { } correction ? Moe.Corrected(parts, routing, gate, correction, made) : Moe.Experts(parts, routing, gate, made);
        return _sharedWidth == 0 ? experts : experts with { Shared = Standard.GatedMlp(parts, Config, $"{_rule.ExpertPrefix}.shared_experts", _sharedWidth) };
    }
}
