using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>Mamba-2 alone (Codestral Mamba): every layer is a norm and a mixer.</summary>
internal sealed class Mamba2Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["mamba2"];

    /// <inheritdoc/>
    public string Description => "Mamba-2 (Codestral Mamba)";

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
        int heads = reader.Size("num_heads", 128), size = reader.Size("head_dim", 64);
        var mamba = new StateSpaceParts("mixer", new StateSpaceShape(1, 1, heads, reader.Size("n_groups", 8), size, reader.Size("state_size", 128)), reader.Size("conv_kernel", 4))
        {
            ConvolutionBias = reader.Flag("use_conv_bias", true),
            Bias = reader.Bias("use_bias", false),
            Limits = reader.Limits("time_step_limit"),
        };
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
