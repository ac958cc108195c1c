using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>
/// Another method's grids, codes and low-rank branches, refined by LRQ's block reconstruction: the rounding of the residual W - B A is learned so that the
/// whole block's output, branches included, is that of the full-precision block; the factors are learned along where asked for. Neither LRQ nor FLRQ has
/// this. Training begins exactly at what the other method made (<see cref="LayerStart.OfQuantized"/>).
/// </summary>
/// <param name="first">Finds grids, codes and branches.</param>
/// <param name="reconstruction">Refines them.</param>
internal sealed class ResidualMethod(IBlockMethod first, BlockReconstruction reconstruction) : IBlockMethod
{
    /// <inheritdoc/>
    public string Name { get; init; } = $"{first.Name} + lrq residual";

    /// <inheritdoc/>
    public bool NeedsCalibration => true;

    /// <inheritdoc/>
    public bool NeedsFullPrecisionInput => first.NeedsFullPrecisionInput || reconstruction.NeedsFullPrecisionInput;

    /// <inheritdoc/>
    public bool NeedsFullPrecisionInputs => first.NeedsFullPrecisionInputs;

    /// <inheritdoc/>
    public QuantizedBlock Quantize(BlockContext context)
    {
        QuantizedBlock start = first.Quantize(context);
        LayerStart[] starts = [.. context.Block.Slots.Select((slot, i) => LayerStart.OfQuantized(slot, start.Weights[i], context.SchemeOf(slot)))];
        QuantizedBlock learned = reconstruction.Solve(context, starts, $"left as {first.Name} made it");
        return learned with { Warnings = [.. start.Warnings, .. learned.Warnings], Layers = Reports(context, learned.Weights) };
    }

    // Codes have changed since the first method measured its layers: measured again, on the inputs that each gets in the quantized model.
    private static LayerReport[] Reports(BlockContext context, IReadOnlyList<QuantizedWeight> weights)
    {
        IDecoderBlock block = context.Block;
        var dense = block.Slots.Select(slot => Array.ConvertAll(slot.WeightValues(), value => (double)value)).ToArray();
        using SlotSwap stored = SlotSwap.Dequantized(block, weights, context.Device);
        BlockStreams streams = context.Streams!;
        var reports = new LayerReport[weights.Count];
        new StageStatistics(block, context.Device, context.StatisticsBytes, context.Cancellation) { Masks = streams.Masks }.Visit(streams.QuantizedInput, WindowRange.Training(streams), advance: false, (_, site, inputs) =>
        {
            foreach (int slot in site.Slots)
                reports[slot] = LayerReport.Measure(block.Slots[slot].Name, dense[slot], inputs, weights[slot], context.Device.HostWorkers);
        });
        return reports;
    }
}
