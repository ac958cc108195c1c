using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Mixtures;

/// <summary>Mixtral: Mistral with experts, softmax over all of them, the chosen ones' weights divided by their sum; w1 is the gate, w3 up, w2 down.</summary>
internal sealed class MixtralFamily : IModelFamily
{
    private const string Prefix = "block_sparse_moe";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["mixtral"];

    /// <inheritdoc/>
    public string Description => "Mixtral: Mistral with experts";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [LlamaGguf.Mixtral];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f });
        AttentionShape shape = Standard.Shape(config, reader.Window("sliding_window"));
        int count = reader.Size("num_local_experts", 8);
        var routing = new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok", 2), Norm = 1 };
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.PreNorm(
                parts, config, Standard.Attention(parts, config, default, default, shape, config.Rope),
                Moe.Experts(parts, routing, $"{Prefix}.gate", new ExpertParts($"{Prefix}.experts", count, config.HiddenSize, config.IntermediateSize)
                {
                    Names = Moe.Numbered,
                    Activation = config.Activation,
                })),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
