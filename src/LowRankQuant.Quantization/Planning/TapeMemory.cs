using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What the tape of a block takes while gradients go back through it, estimated: the most that any block takes.</summary>
internal static class TapeMemory
{
    // The device gives memory in pieces of rounded sizes.
    private const int Rounding = 16;

    /// <summary>Bytes of some tokens.</summary>
    /// <param name="config">Sizes of the model.</param>
    /// <param name="layout">Its linears.</param>
    /// <param name="recipe">What is quantized.</param>
    /// <param name="tokens">Tokens that pass together.</param>
    /// <param name="quantized">Whether the quantizers of activations, keys and values are in the block.</param>
    public static long Bytes(DecoderConfig config, ModelLayout layout, Recipe recipe, long tokens, bool quantized)
    {
        long numbers = (layout.OnTape.Count > 0 ? layout.OnTape : [OfLinears(config, layout)]).Max(Of);
        if (quantized && recipe.Cache is not null) numbers += 2L * config.KeyValueHeads * config.HeadSize;
        return tokens * sizeof(float) * numbers;

        // A quantizer leaves a copy of what it rounds, whose gradient is gone as soon as the original has its own.
        long Of(TapeNumbers block) => (2 * (block.Values + (block.Values / Rounding))) + (quantized && recipe.Activations is not null ? block.Inputs : 0);
    }

    // About 12 tensors of the width and 4 of the MLP's; of every expert that a token is sent to 4 as well, its input, its output and that weighed.
    private static TapeNumbers OfLinears(DecoderConfig config, ModelLayout layout)
    {
        long hidden = config.HiddenSize, heads = (long)config.Heads * config.HeadSize;
        LinearShape[] experts = [.. layout.LargestBlock.Where(linear => linear.IsExpert && linear.OutFeatures == config.HiddenSize)];
        long chosen = experts.Length == 0 ? 0 : Math.Max(1, layout.ExpertsPerToken), width = experts.Length == 0 ? 0 : experts.Max(linear => linear.InFeatures);
        long dense = experts.Length == 0 ? config.IntermediateSize : 0;
        return new TapeNumbers((12 * hidden) + (4 * dense) + (chosen * ((3 * hidden) + (4 * width))), (2 * hidden) + heads + dense + (chosen * (hidden + width)));
    }
}
