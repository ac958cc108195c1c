using LowRankQuant.Models;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Pipeline;

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
                bits += weight.StoredBits;
                weights += weight.Codes.LongLength;
            }
        }
        return weights == 0 ? null : bits / weights;
    }

    /// <summary>Bits per weight by the layers' own reports; null when there are none.</summary>
    public static double? LayerBits(IEnumerable<BlockReport> blocks)
    {
        double bits = 0, weights = 0;
        foreach (LayerReport layer in blocks.SelectMany(block => block.Layers))
        {
            double count = (double)layer.OutFeatures * layer.InFeatures;
            bits += layer.BitsPerWeight * count;
            weights += count;
        }
        return weights == 0 ? null : bits / weights;
    }

    /// <summary>Bits per weight that a scheme takes on the linears of a model.</summary>
    public static double GridBits(CausalModel model, Scheme scheme) => scheme.BitsPerWeight(model.Linears);

    /// <summary>Bits of the model's files per parameter. Tied embeddings are one tensor and count once.</summary>
    public static double ModelBits(CausalModel model) => model.Checkpoint.StoredBytes * 8.0 / Parameters(model);

    /// <summary>Parameters of all tensors.</summary>
    public static long Parameters(CausalModel model) =>
        model.Checkpoint.TensorNames.Sum(name => model.Checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size));
}
