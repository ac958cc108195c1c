using LowRankQuant.Models;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>How many bits a model takes per weight.</summary>
public static class StoredSize
{
    /// <summary>
    /// Bits per weight of the quantized linears: codes, scales and zero points, and the low-rank branch. Null when the model has none on a grid we know.
    /// </summary>
    public static double? LinearBits(CausalModel model)
    {
        double bits = 0, weights = 0;
        for (int block = 0; block < model.Config.Layers; block++)
        {
            foreach ((string name, _, _) in model.Linears)
            {
                if (model.Checkpoint.ReadQuantized($"{model.BlockName(block)}.{name}.weight") is not { } weight) continue;
                bits += Bits(weight);
                weights += weight.Codes.LongLength;
            }
        }
        return weights == 0 ? null : bits / weights;
    }

    /// <summary>Bits of the model's files per parameter. Tied embeddings are one tensor and count once.</summary>
    public static double ModelBits(CausalModel model) => model.Checkpoint.StoredBytes * 8.0 / Parameters(model);

    /// <summary>Parameters of all tensors.</summary>
    public static long Parameters(CausalModel model) =>
        model.Checkpoint.TensorNames.Sum(name => model.Checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size));

    /// <summary>Bits of one quantized weight, without padding.</summary>
    public static double Bits(QuantizedWeight weight)
    {
        int scaleBits = weight.ScaleType == ScaleType.Float32 ? 32 : 16;
        double bits = ((double)weight.Codes.LongLength * weight.Grid.Bits) + ((double)weight.Scales.LongLength * scaleBits);
        if (weight.ZeroPoints is { } zeros) bits += (double)zeros.LongLength * weight.Grid.Bits;
        if (weight.Branch is { } branch) bits += branch.StoredBits;
        return bits;
    }
}
