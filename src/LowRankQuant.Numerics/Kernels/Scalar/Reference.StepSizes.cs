using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Step sizes of recurrences, v = x + bias:
/// <code>
/// y = clamp(softplus(v), low, high)          softplus(v) = max(v, 0) + log(1 + e^-|v|)
/// dx = dy / (1 + e^-v), or 0 where softplus(v) lies outside low..high
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void StepSizesForward<T>(ReadOnlySpan<T> x, ReadOnlySpan<T> bias, float low, float high, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < x.Length; i++) y[i] = T.Max(T.CreateChecked(low), T.Min(T.CreateChecked(high), Softplus(x[i] + bias[i % bias.Length])));
    }

    public static void StepSizesBackward<T>(ReadOnlySpan<T> dy, ReadOnlySpan<T> x, ReadOnlySpan<T> bias, float low, float high, Span<T> dx)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < x.Length; i++)
        {
            T value = x[i] + bias[i % bias.Length], step = Softplus(value);
            bool within = step >= T.CreateChecked(low) && step <= T.CreateChecked(high);
            dx[i] = within ? dy[i] / (T.One + T.Exp(-value)) : T.Zero;
        }
    }

    private static T Softplus<T>(T v)
        where T : IFloatingPointIeee754<T>
    {
        // The rounding of 1 + z is taken back by what it did to z, so that a small z keeps all its digits.
        T z = T.Exp(-T.Abs(v)), sum = T.One + z;
        return T.Max(v, T.Zero) + (sum == T.One ? z : T.Log(sum) * z / (sum - T.One));
    }
}
