using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf.Hybrid;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>
/// Nemotron-H and Nemotron 3: every layer is one norm and one part, by <c>hybrid_override_pattern</c>: M Mamba-2, * attention without rotation, - an MLP of squared rectified units,
/// E such experts by sigmoids with corrections.
/// </summary>
internal sealed class NemotronHFamily : IModelFamily
{
    private const string Prefix = "mixer";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["nemotron_h"];

    /// <inheritdoc/>
    public string Description => "Nemotron-H, Nemotron Nano 2 and 3: Mamba-2, attention, MLPs and experts, one a layer";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [NemotronHGguf.Sparse, NemotronHGguf.Dense];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = reader.FirstOf("layer_norm_epsilon", "norm_eps", "rms_norm_eps"),
            Epsilon = 1e-5f,
            HeadSize = reader.Has("attention_head_dim") ? reader.Size("attention_head_dim") : 128,
            Layers = reader.Text("hybrid_override_pattern")?.Length ?? reader.ListLength("layers_block_type"),
            ActivationKey = "mlp_hidden_act",
            Activation = "relu2",
            Positions = 4096,
            Intermediate = FamilyDefaults.FourTimes,
            Rope = null,
        });
        string pattern = Pattern(reader, config.Layers);
        if (reader.Has("moe_latent_size")) throw reader.Unsupported("moe_latent_size", "(experts behind a latent projection)");
        var mamba = StateSpaceParts.Nemotron(reader);
        BiasRule attention = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        Func<BlockParts, IFeedForward>? experts = pattern.Contains('E', StringComparison.Ordinal) ? Experts(reader, config) : null;
        return new Architecture
        {
            Config = config,
            EmbeddingName = "backbone.embeddings.weight",
            Blocks = "backbone.layers.",
            Roots = ["backbone.", "lm_head."],
            Base = "backbone.",
            BaseNames = ["embeddings", "norm_f", "layers"],
            Block = parts => new SingleBody
            {
                Norm = parts.RmsNorm("norm", config.HiddenSize, config.NormEpsilon),
                Part = pattern[parts.Index] switch
                {
                    'M' => mamba.Make(parts, config),
                    '*' => Attention(parts, config, attention),
                    '-' => Standard.PlainMlp(parts, config, $"{Prefix}.up_proj", $"{Prefix}.down_proj", mlp),
                    _ => experts!(parts),
                },
            },
            FinalNorm = parts => parts.RmsNorm("backbone.norm_f", config.HiddenSize, config.NormEpsilon),
        };
    }

    private static string Pattern(ConfigReader reader, int layers)
    {
        string pattern = reader.Text("hybrid_override_pattern")
            ?? string.Concat((reader.Words("layers_block_type", layers) ?? throw reader.Missing("hybrid_override_pattern")).Select(word => word switch
            {
                "mamba" or "linear_attention" => 'M',
                "attention" or "full_attention" => '*',
                "mlp" => '-',
                "moe" => 'E',
                _ => throw reader.Unsupported("layers_block_type", word),
            }));
        if (pattern.Length < layers) throw reader.Wrong("hybrid_override_pattern", pattern, $"must have a letter for each of {layers} layers");
        return pattern.All("M*-E".Contains) ? pattern : throw reader.Wrong("hybrid_override_pattern", pattern, "may hold M, *, - and E");
    }

    private static Attention Attention(BlockParts parts, DecoderConfig config, BiasRule bias)
    {
        AttentionShape shape = Standard.Shape(config);
        int d = config.HiddenSize, q = shape.Heads * shape.HeadSize, k = shape.KeyValueHeads * shape.HeadSize;
        return new Attention
        {
            Query = parts.Linear($"{Prefix}.q_proj", q, d, bias),
            Key = parts.Linear($"{Prefix}.k_proj", k, d, bias),
            Value = parts.Linear($"{Prefix}.v_proj", k, d, bias),
            Output = parts.Linear($"{Prefix}.o_proj", d, q, bias),
            Shape = shape,
        };
    }

    private static Func<BlockParts, IFeedForward> Experts(ConfigReader reader, DecoderConfig config)
    {
        int count = reader.Size("n_routed_experts"), width = reader.Size("moe_intermediate_size");
        int shared = reader.Count("n_shared_experts", 1) > 0 ? reader.Size("moe_shared_expert_intermediate_size") : 0;
        Routing routing = Moe.Sigmoid(reader, count);
        var experts = new ExpertParts($"{Prefix}.experts", count, config.HiddenSize, width) { Plain = true, Activation = config.Activation };
        return parts => Moe.Corrected(parts, routing, $"{Prefix}.gate", $"{Prefix}.gate.e_score_correction_bias", experts) with
        {
            Shared = shared == 0 ? null
                : Standard.PlainMlp(parts, config with { IntermediateSize = shared }, $"{Prefix}.shared_experts.up_proj", $"{Prefix}.shared_experts.down_proj", default),
        };
    }
}
