using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Mixers;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>
/// GPT-J and CodeGen: attention and MLP side by side on one LayerNorm, rotation of neighbouring pairs of the first <c>rotary_dim</c> elements, a head with bias. CodeGen
/// holds q, v and k in four shards of one matrix.
/// </summary>
internal sealed class GptJFamily : IModelFamily
{
    private const int Shards = 4;
    private static readonly string[] Apart = ["attn.q_proj", "attn.k_proj", "attn.v_proj"];

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["gptj", "codegen"];

    /// <inheritdoc/>
    public string Description => "GPT-J and CodeGen";

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool sharded = reader.ModelType == "codegen";
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_epsilon",
            Epsilon = 1e-5f,
            Activation = "gelu_new",
            ActivationKey = "activation_function",
            Intermediate = FamilyDefaults.FourTimes,
            IntermediateKey = "n_inner",
            Rope = new RopeRule { RotatedKey = "rotary_dim", Interleaved = true },
        });
        int d = config.HiddenSize;
        return new Architecture
        {
            Config = config,
            Base = "transformer.",
            BaseNames = ["wte", "h", "ln_f"],
            Roots = ["transformer.", "lm_head."],
            EmbeddingName = "transformer.wte.weight",
            Blocks = "transformer.h.",
            Buffers = [".attn.bias", ".attn.masked_bias", ".attn.causal_mask"],
            Block = parts =>
            {
                LinearSlot[] slots = sharded ? Sharded(parts, d) : [.. Apart.Select(name => parts.Linear(name, d, d))];
                return new ParallelBody
                {
                    Mixer = new Attention
                    {
                        Query = slots[0],
                        Key = slots[1],
                        Value = slots[2],
                        Output = parts.Linear("attn.out_proj", d, d),
                        Shape = Standard.Shape(config),
                        Rope = parts.Rope(config.Rope),
                    },
                    Mlp = Standard.PlainMlp(parts, config, "mlp.fc_in", "mlp.fc_out", BiasRule.Always),
                    MixerNorm = parts.LayerNorm("ln_1", d, config.NormEpsilon),
                };
            },
            FinalNorm = parts => parts.LayerNorm("transformer.ln_f", d, config.NormEpsilon),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { Bias = parts.Tensor("lm_head.bias", config.VocabularySize) },
        };
    }

    private static LinearSlot[] Sharded(BlockParts parts, int d)
    {
        int run = d / Shards;
        return parts.Fused(
            "attn.qkv_proj", d, default, false, ("attn.q_proj", new RowPattern(0, d, run, 3 * run)), ("attn.k_proj", new RowPattern(2 * run, d, run, 3 * run)),
            ("attn.v_proj", new RowPattern(run, d, run, 3 * run)));
    }
}
