using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Rtn;

/// <summary>Round to nearest: every weight goes to the nearest point of the first grid, without looking at activations.</summary>
public sealed class RtnMethod : IBlockMethod
{
    /// <inheritdoc/>
    public string Name => "rtn";

    /// <inheritdoc/>
    public bool NeedsCalibration => false;

    /// <inheritdoc/>
    public QuantizedBlock Quantize(BlockContext context)
    {
        var weights = new List<QuantizedWeight>();
        foreach (LinearSlot slot in context.Block.Slots)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            float[] weight = ((DenseWeight)slot.Weight).Value.ToArray();
            weights.Add(Round(weight, slot, context));
        }
        return new QuantizedBlock(weights);
    }

    private static QuantizedWeight Round(float[] weight, LinearSlot slot, BlockContext context)
    {
        GridParameters grid = GridSearch.Find(weight, slot.InFeatures, context.Scheme.Grid, context.Scheme.Start, context.Device.HostWorkers);
        return GridRounding.Round(weight, slot.OutFeatures, slot.InFeatures, context.Scheme, grid, default, context.Device.HostWorkers);
    }
}
