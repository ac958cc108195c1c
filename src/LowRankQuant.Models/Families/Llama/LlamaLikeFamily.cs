using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// Families that are Llama but for a few choices. Hunyuan (dense): RMSNorm of every head behind the rotation. Seed-OSS: biases of q, k and v, of o and of the MLP by keys
/// of their own. ERNIE 4.5 and Helium: rotation of neighbouring pairs. Arcee: an MLP of squared ReLU without a gate.
/// </summary>
internal sealed class LlamaLikeFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["hunyuan_v1_dense", "seed_oss", "ernie4_5", "helium", "arcee"];

    /// <inheritdoc/>
    public string Description => "Llama but for a few choices: Hunyuan (dense), Seed-OSS, ERNIE 4.5, Helium, Arcee";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [OtherGguf.Hunyuan, OtherGguf.SeedOss, OtherGguf.Arcee, OtherGguf.Ernie];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        string type = reader.ModelType;
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            Epsilon = type switch { "seed_oss" => 1e-6f, "helium" => 1e-8f, _ => 1e-5f },
            HeadSize = type is "seed_oss" or "ernie4_5" ? 128 : null,
            Tied = type == "ernie4_5",
            Activation = type == "arcee" ? "relu2" : "silu",
            Rope = new RopeRule { Interleaved = type is "ernie4_5" or "helium" },
        });
        BiasRule all = type == "ernie4_5" ? reader.Bias("use_bias", false) : reader.Bias("attention_bias", type == "seed_oss");
        BiasRule output = type == "seed_oss" ? reader.Bias("attention_out_bias", false) : all, mlp = type == "ernie4_5" ? all : reader.Bias("mlp_bias", false);
        bool norms = type == "hunyuan_v1_dense" && reader.Flag("use_qk_norm", true);
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                Attention attention = Standard.Attention(parts, config, all, output, Standard.Shape(config), config.Rope);
                if (norms)
                {
                    attention = attention with
                    {
                        QueryNorm = parts.RmsNorm("self_attn.query_layernorm", config.HeadSize, config.NormEpsilon),
                        KeyNorm = parts.RmsNorm("self_attn.key_layernorm", config.HeadSize, config.NormEpsilon),
                        NormsAfterRotation = true,
                    };
                }
                IFeedForward feed = type == "arcee" ? Standard.PlainMlp(parts, config, "mlp.up_proj", "mlp.down_proj", mlp) : Standard.GatedMlp(parts, config, mlp);
                return Standard.PreNorm(parts, config, attention, feed);
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
