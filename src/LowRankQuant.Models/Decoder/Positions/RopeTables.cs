using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd.Sequences;

namespace LowRankQuant.Models.Decoder.Positions;

/// <summary>Keeps the angle tables of one model on one device; grows them as longer sequences come.</summary>
public sealed class RopeTables(Device device, RopeConfig rope) : IDisposable
{
    private RotaryAngles? _angles;
    private int _length;

    /// <summary>Tables that serve sequences of <paramref name="length"/> positions; valid until the next call.</summary>
    public RotaryAngles For(int length)
    {
        if (_angles is not null && length <= _length && Regime(length) == Regime(_length)) return _angles;
        int grown = Math.Max(length, Math.Min(2 * _length, rope.MaxPositions));
        _angles?.Dispose();
        _length = Regime(grown) == Regime(length) ? grown : length;
        return _angles = RopeFrequencies.BuildAngles(device, rope, _length);
    }

    // Where the frequencies themselves depend on the length, a longer table does not serve a shorter sequence.
    private int Regime(int length) => rope.Scaling switch
    {
        RopeScaling.Dynamic => Math.Max(length, rope.MaxPositions),
        RopeScaling.LongRope => RopeFrequencies.IsLong(rope, length) ? 1 : 0,
        _ => 0,
    };

    /// <inheritdoc/>
    public void Dispose() => _angles?.Dispose();
}
