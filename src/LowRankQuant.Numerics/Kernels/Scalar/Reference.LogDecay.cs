using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>The log decay of the delta rule: g = A ln(1 + e^z) with z = a + b, and da = dg A / (1 + e^-z).</summary>
internal static partial class Reference
{
    public static void LogDecayForward<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> negativeA, ReadOnlySpan<T> dtBias, Span<T> g)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < a.Length; i++)
        {
            int c = i % negativeA.Length;
            T z = a[i] + dtBias[c];
            g[i] = negativeA[c] * (T.Max(z, T.Zero) + LogOnePlus(T.Exp(-T.Abs(z))));
        }
    }

    public static void LogDecayBackward<T>(ReadOnlySpan<T> dg, ReadOnlySpan<T> a, ReadOnlySpan<T> negativeA, ReadOnlySpan<T> dtBias, Span<T> da)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < a.Length; i++)
        {
            int c = i % negativeA.Length;
            da[i] = dg[i] * negativeA[c] / (T.One + T.Exp(-(a[i] + dtBias[c])));
        }
    }

    /// <summary>ln(1 + x) for x of at least 0. The runtime's LogP1 rounds 1 + x first; here that rounding cancels (Kahan).</summary>
    private static T LogOnePlus<T>(T x)
        where T : IFloatingPointIeee754<T>
    {
        T sum = T.One + x;
        return sum == T.One ? x : T.Log(sum) * (x / (sum - T.One));
    }
}
