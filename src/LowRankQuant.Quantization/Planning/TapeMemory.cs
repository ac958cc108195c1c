using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What the tape of a block takes while gradients go back through it, estimated.</summary>
internal static class TapeMemory
{
    /// <summary>Bytes of some tokens.</summary>
    /// <param name="config">Sizes of the model.</param>
    /// <param name="recipe">What is quantized.</param>
    /// <param name="tokens">Tokens that pass together.</param>
    /// <param name="quantized">Whether the quantizers of activations, keys and values are in the block.</param>
    public static long Bytes(DecoderConfig config, Recipe recipe, long tokens, bool quantized)
    {
        // Values and gradients of about 12 tensors of the width and 4 of the MLP's.
        long numbers = 2 * ((12L * config.HiddenSize) + (4L * config.IntermediateSize)), heads = config.HeadSize;
        // A quantizer leaves a copy of what it rounds, whose gradient is gone as soon as the original has its own: the inputs of q, k and v, of gate and up, of o and of down.
        if (quantized && recipe.Activations is not null) numbers += (2L * config.HiddenSize) + (config.Heads * heads) + config.IntermediateSize;
        if (quantized && recipe.Cache is not null) numbers += 2 * config.KeyValueHeads * heads;
        return tokens * sizeof(float) * numbers;
    }
}
