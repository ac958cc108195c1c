using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>Phi 3, 3.5 and 4: Llama with q, k and v in one matrix and gate and up in another, windows, LongRoPE, partial rotation.</summary>
internal sealed class Phi3Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["phi3"];

    /// <inheritdoc/>
    public string Description => "Phi 3, 3.5 and 4 but for their small and MoE models: LongRoPE, joined projections";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [PhiGguf.Third];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f });
        AttentionShape shape = Standard.Shape(config, reader.Window("sliding_window"));
        return new Architecture
        {
            Config = config,
            Block = parts => Standard.PreNorm(
                parts, config,
                Standard.FusedAttention(
                    parts, config, "self_attn", "self_attn.qkv_proj", "self_attn.o_proj", shape, config.Rope, default, default, FusedRows.Blocks),
                Standard.FusedGatedMlp(parts, config)),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }
}
