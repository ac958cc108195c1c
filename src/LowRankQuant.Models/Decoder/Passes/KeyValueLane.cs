using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Passes;

/// <summary>Rotated keys and values of one attention, for positions 0 and on of one sequence at a time.</summary>
/// <param name="device">Where the blocks are.</param>
/// <param name="keyWidth">keyValueHeads * headSize.</param>
/// <param name="valueWidth">keyValueHeads * valueHeadSize.</param>
/// <param name="capacity">Most positions.</param>
internal sealed class KeyValueLane(Device device, int keyWidth, int valueWidth, int capacity) : IMixerState
{
    /// <summary>[capacity, keyWidth].</summary>
    public Tensor Keys { get; } = device.Empty(capacity, keyWidth);

    /// <summary>[capacity, valueWidth].</summary>
    public Tensor Values { get; } = device.Empty(capacity, valueWidth);

    /// <inheritdoc/>
    public void CopyFrom(IMixerState other, int positions)
    {
        var lane = (KeyValueLane)other;
        Keys.Device.Kernels.Copy(lane.Keys.RowRange(0, positions), Keys.RowRange(0, positions));
        Values.Device.Kernels.Copy(lane.Values.RowRange(0, positions), Values.RowRange(0, positions));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Keys.Dispose();
        Values.Dispose();
    }
}
