using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What the tape of a block takes while gradients go back through it, estimated.</summary>
internal static class TapeMemory
{
    /// <summary>Bytes of some tokens.</summary>
    /// <param name="config">Sizes of the model.</param>
    /// <param name="layout">Its linears.</param>
    /// <param name="recipe">What is quantized.</param>
    /// <param name="tokens">Tokens that pass together.</param>
    /// <param name="quantized">Whether the quantizers of activations, keys and values are in the block.</param>
    public static long Bytes(DecoderConfig config, ModelLayout layout, Recipe recipe, long tokens, bool quantized)
    {
        long hidden = config.HiddenSize, heads = config.HeadSize;
        (long experts, long width, long dense) = Mlp(config, layout);
        // Values and gradients of about 12 tensors of the width and 4 of the MLP's; of every expert that a token is sent to 4 as well, its input, its output and that weighed.
        long numbers = 2 * ((12 * hidden) + config.AttentionNumbers + (4 * dense) + (experts * ((3 * hidden) + (4 * width))));
        // A quantizer leaves a copy of what it rounds, whose gradient is gone as soon as the original has its own: the inputs of q, k and v, of gate and up, of o and of down.
        if (quantized && recipe.Activations is not null) numbers += (2 * hidden) + (config.Heads * heads) + dense + (experts * (hidden + width));
        if (quantized && recipe.Cache is not null) numbers += 2 * config.KeyValueHeads * heads;
        return tokens * sizeof(float) * numbers;
    }

    // Experts of a token with their width, and the width of what all tokens pass.
    private static (long Experts, long Width, long Dense) Mlp(DecoderConfig config, ModelLayout layout)
    {
        LinearShape[] down = [.. layout.LargestBlock.Where(linear => linear.OutFeatures == config.HiddenSize)];
        LinearShape[] experts = [.. down.Where(linear => linear.IsExpert)];
        if (experts.Length == 0) return (0, 0, config.IntermediateSize);
        long shared = down.Where(linear => !linear.IsExpert && linear.Name.EndsWith("down_proj", StringComparison.Ordinal)).Sum(linear => (long)linear.InFeatures);
        return (Math.Max(1, layout.ExpertsPerToken), experts.Max(linear => linear.InFeatures), shared);
    }
}
