using System.Runtime.CompilerServices;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd.Functions;

/// <summary>A function with constants on vectors.</summary>
internal interface ICurve
{
    V Value<V>(V x, out V slope)
        where V : struct, IVector<V>;
}

/// <summary>See <see cref="Curve.Clamp"/>.</summary>
internal readonly struct ClampCurve(float limit) : ICurve
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Value<V>(V x, out V slope)
        where V : struct, IVector<V>
    {
        V end = V.Create(limit);
        slope = V.LessThanOrEqual(V.Abs(x), end) & V.Create(1f);
        return V.Max(V.Create(-limit), V.Min(end, x));
    }
}

/// <summary>See <see cref="Curve.SoftCap"/>.</summary>
internal readonly struct SoftCapCurve(float cap) : ICurve
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Value<V>(V x, out V slope)
        where V : struct, IVector<V>
    {
        V tanh = SimdMath.Tanh(x / V.Create(cap));
        slope = V.Create(1f) - (tanh * tanh);
        return V.Create(cap) * tanh;
    }
}

/// <summary>See <see cref="Curve.Xielu"/>; e^x - 1 near zero by its series, where the difference would cancel.</summary>
internal readonly struct XieluCurve(float above, float below, float linear, float limit) : ICurve
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Value<V>(V x, out V slope)
        where V : struct, IVector<V>
    {
        V positive = V.LessThan(V.Zero, x), c = V.Create(linear), b = V.Create(below), a = V.Create(above), one = V.Create(1f);
        V cut = V.Min(V.Create(limit), x), e = SimdMath.Exp(cut);

        // e^t - 1 = t (1 + t/2 (1 + t/3 (1 + t/4 (1 + t/5)))) to 1e-7 for |t| below a tenth.
        V series = V.MultiplyAdd(cut, V.Create(1f / 5), one);
        series = V.MultiplyAdd(cut * V.Create(1f / 4), series, one);
        series = V.MultiplyAdd(cut * V.Create(1f / 3), series, one);
        series = V.MultiplyAdd(cut * V.Create(1f / 2), series, one) * cut;
        V less = V.Select(V.LessThan(V.Abs(cut), V.Create(0.1f)), series, e - one);
        V low = V.MultiplyAdd(b, less - x, c * x), high = V.MultiplyAdd(a * x, x, c * x);
        V lowSlope = V.MultiplyAdd(b, (V.LessThanOrEqual(x, V.Create(limit)) & e) - one, c);
        slope = V.Select(positive, V.MultiplyAdd(a + a, x, c), lowSlope);
        return V.Select(positive, high, low);
    }
}
