using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Dequantization with scales that learn, element i, group g = i / groupSize, u = code - zero:
/// <code>y_i = u_i s_g        ds_g = sum over the group of dy_i u_i</code>
/// </summary>
internal static partial class Reference
{
    public static void GroupScaleForward<T>(ReadOnlySpan<T> units, ReadOnlySpan<T> scale, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        int groupSize = units.Length / Math.Max(1, scale.Length);
        for (int i = 0; i < units.Length; i++) y[i] = units[i] * scale[i / groupSize];
    }

    public static void GroupScaleBackward<T>(ReadOnlySpan<T> dy, ReadOnlySpan<T> units, Span<T> dScale, bool accumulate)
        where T : IFloatingPointIeee754<T>
    {
        int groupSize = units.Length / Math.Max(1, dScale.Length);
        if (!accumulate) dScale.Clear();
        for (int i = 0; i < units.Length; i++) dScale[i / groupSize] += dy[i] * units[i];
    }
}
