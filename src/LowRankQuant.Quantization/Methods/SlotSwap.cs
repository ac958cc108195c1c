using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods;

/// <summary>Other weights in a block's slots for a while; disposing puts the old ones back.</summary>
public sealed class SlotSwap : IDisposable
{
    private readonly IReadOnlyList<LinearSlot> _slots;
    private readonly IWeightSource[] _old;

    private SlotSwap(IReadOnlyList<LinearSlot> slots, Func<int, IWeightSource> replacement)
    {
        _slots = slots;
        _old = new IWeightSource[slots.Count];
        for (int i = 0; i < _old.Length; i++) _old[i] = slots[i].Exchange(replacement(i));
    }

    /// <summary>The block with its weights as stored: (code - zero) * scale, plus the branch where there is one.</summary>
    public static SlotSwap Dequantized(IDecoderBlock block, IReadOnlyList<QuantizedWeight> weights, Device device) =>
        new(block.Slots, i => weights[i].InPlaceOf(block.Slots[i].Weight, device));

    /// <summary>The block rounded to nearest on the scheme's first grid: what every method starts from.</summary>
    public static SlotSwap RoundedToNearest(IDecoderBlock block, Scheme scheme, Device device) => Dequantized(block, Rounded(block, scheme, device), device);

    /// <summary>Rounds the block's weights to nearest for good; the old ones are freed.</summary>
    public static void ReplaceByRounded(IDecoderBlock block, Scheme scheme, Device device)
    {
        SlotSwap swap = RoundedToNearest(block, scheme, device);
        foreach (IWeightSource old in swap._old) old.Dispose();
    }

    private static QuantizedWeight[] Rounded(IDecoderBlock block, Scheme scheme, Device device)
    {
        IReadOnlyList<LinearSlot> slots = block.Slots;
        var weights = new QuantizedWeight[slots.Count];
        for (int i = 0; i < weights.Length; i++)
        {
            float[] weight = slots[i].WeightValues();
            FittedGrid grid = FittedGrid.Find(weight, slots[i].OutFeatures, slots[i].InFeatures, scheme.For($"{block.Name}.{slots[i].Name}"), device.HostWorkers);
            weights[i] = grid.Round(weight, default, device.HostWorkers);
        }
        return weights;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        for (int i = 0; i < _old.Length; i++) _slots[i].Exchange(_old[i]).Dispose();
    }
}
