using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>
/// GPT-2, whose weights are stored input by input, and GPT-BigCode (StarCoder 1, SantaCoder), whose are not: learned positions, LayerNorm, biases, q, k and v in one
/// matrix; BigCode with one key head (<c>multi_query</c>), or with the rows of every head together.
/// </summary>
internal sealed class Gpt2Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["gpt2", "gpt_bigcode"];

    /// <inheritdoc/>
    public string Description => "GPT-2, and GPT-BigCode (StarCoder 1, SantaCoder)";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GptGguf.Gpt2, GptGguf.BigCode];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool transposed = reader.ModelType == "gpt2", single = !transposed && reader.Flag("multi_query", true);
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_epsilon",
            Epsilon = 1e-5f,
            Tied = true,
            Activation = transposed ? "gelu_new" : "gelu_pytorch_tanh",
            ActivationKey = "activation_function",
            Intermediate = FamilyDefaults.FourTimes,
            IntermediateKey = "n_inner",
            KeyValueHeads = single ? 1 : null,
            Rope = null,
            Positions = 1024,
        });
        if (reader.Flag("add_cross_attention", false)) throw reader.Unsupported("add_cross_attention", "true");
        bool scaled = reader.Flag("scale_attn_weights", true), byLayer = reader.Flag("scale_attn_by_inverse_layer_idx", false);
        int d = config.HiddenSize;
        return new Architecture
        {
            Config = config,
            Base = "transformer.",
            BaseNames = ["wte", "wpe", "h", "ln_f"],
            Roots = ["transformer.", "lm_head."],
            EmbeddingName = "transformer.wte.weight",
            Blocks = "transformer.h.",
            Buffers = [".attn.bias", ".attn.masked_bias"],
            Embedding = (parts, table) => new InputEmbedding
            {
                Table = table,
                HiddenSize = d,
                Positions = parts.Tensor("transformer.wpe.weight", config.MaxPositions, d),
                Parts = parts,
            },
            Block = parts =>
            {
                AttentionShape shape = Standard.Shape(config) with { Scale = (float)((scaled ? 1 / Math.Sqrt(config.HeadSize) : 1) / (byLayer ? parts.Index + 1 : 1)) };
                (RowPattern q, RowPattern k, RowPattern v) = (transposed || single ? FusedRows.Blocks : FusedRows.ByKeyHead).Of(shape);
                LinearSlot[] slots = parts.Fused("attn.c_attn", d, BiasRule.Always, transposed, ("attn.q_proj", q), ("attn.k_proj", k), ("attn.v_proj", v));
                var attention = new Attention { Query = slots[0], Key = slots[1], Value = slots[2], Output = Linear(parts, "attn.c_proj", d, d, transposed), Shape = shape };
                var mlp = new PlainMlp
                {
                    Up = Linear(parts, "mlp.c_fc", config.IntermediateSize, d, transposed),
                    Down = Linear(parts, "mlp.c_proj", d, config.IntermediateSize, transposed),
                    Activation = config.Activation,
                };
                return Standard.LayerNormed(parts, config, "ln_1", "ln_2", attention, mlp);
            },
            FinalNorm = parts => parts.LayerNorm("transformer.ln_f", d, config.NormEpsilon),
        };
    }

    private static LinearSlot Linear(BlockParts parts, string name, int outFeatures, int inFeatures, bool transposed) => transposed
        ? parts.Transposed(name, outFeatures, inFeatures, BiasRule.Always)
        : parts.Linear(name, outFeatures, inFeatures, BiasRule.Always);
}
