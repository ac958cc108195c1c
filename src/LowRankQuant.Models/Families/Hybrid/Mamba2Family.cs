using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Families.Gguf.Hybrid;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>Mamba-2 alone (Codestral Mamba): every layer is a norm and a mixer.</summary>
internal sealed class Mamba2Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["mamba2"];

    /// <inheritdoc/>
    public string Description => "Mamba-2 (Codestral Mamba)";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [MambaGguf.Second];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        // It has no positions, and no heads of attention.
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_epsilon",
            Epsilon = 1e-5f,
            Heads = 1,
            Positions = 1 << 20,
            Intermediate = FamilyDefaults.FourTimes,
            Rope = null,
        });
        var mamba = StateSpaceParts.Alone(reader);
        return new Architecture
        {
            Config = config,
            EmbeddingName = "backbone.embeddings.weight",
            Blocks = "backbone.layers.",
            Roots = ["backbone.", "lm_head."],
            Base = "backbone.",
            BaseNames = ["embeddings", "norm_f", "layers"],
            Block = parts => new SingleBody { Norm = parts.RmsNorm("norm", config.HiddenSize, config.NormEpsilon), Part = mamba.Make(parts, config) },
            FinalNorm = parts => parts.RmsNorm("backbone.norm_f", config.HiddenSize, config.NormEpsilon),
        };
    }
}
