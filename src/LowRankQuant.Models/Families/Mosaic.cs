using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Models.Families;

/// <summary>Models of MosaicML's trainer, MPT and DBRX: their names of everything around the blocks, and LayerNorm without bias at the end.</summary>
internal static class Mosaic
{
    /// <summary>A model with such blocks.</summary>
    public static Architecture Of(DecoderConfig config, Func<BlockParts, IBlockBody> block) => new()
    {
        Config = config,
        Base = "transformer.",
        BaseNames = ["wte", "blocks", "norm_f"],
        Roots = ["transformer.", "lm_head."],
        EmbeddingName = "transformer.wte.weight",
        Blocks = "transformer.blocks.",
        Block = block,
        FinalNorm = parts => parts.LayerNorm("transformer.norm_f", config.HiddenSize, config.NormEpsilon, bias: false),
    };
}
