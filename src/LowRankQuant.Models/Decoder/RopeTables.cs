using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>Keeps the angle tables of one model on one device; grows them as longer sequences come.</summary>
public sealed class RopeTables(Device device, RopeConfig rope) : IDisposable
{
    private RotaryAngles? _angles;
    private int _length;

    /// <summary>Tables that serve sequences of <paramref name="length"/> positions; valid until the next call.</summary>
    public RotaryAngles For(int length)
    {
        // With dynamic scaling the frequencies themselves depend on the length, so a longer table does not serve a shorter sequence.
        bool serves = _angles is not null && (rope.Scaling == RopeScaling.Dynamic
            ? Math.Max(length, rope.MaxPositions) == Math.Max(_length, rope.MaxPositions) && length <= _length
            : length <= _length);
        if (serves) return _angles!;
        _angles?.Dispose();
        _length = rope.Scaling == RopeScaling.Dynamic ? length : Math.Max(length, Math.Min(2 * _length, rope.MaxPositions));
        return _angles = RopeFrequencies.BuildAngles(device, rope, _length);
    }

    /// <inheritdoc/>
    public void Dispose() => _angles?.Dispose();
}
