using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Rtn;

/// <summary>Round to nearest: every weight goes to the nearest point of the first grid, without looking at activations.</summary>
public sealed class RoundToNearest : IBlockMethod
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
            float[] weight = slot.WeightValues();
            weights.Add(FittedGrid.Find(weight, slot.OutFeatures, slot.InFeatures, context.SchemeOf(slot), context.Device.HostWorkers)
                .Round(weight, default, context.Device.HostWorkers));
        }
        return new QuantizedBlock(weights);
    }
}
