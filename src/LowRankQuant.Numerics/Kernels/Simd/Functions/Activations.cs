using System.Runtime.CompilerServices;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd.Functions;

/// <summary>A non-linearity on vectors.</summary>
internal interface IActivation
{
    static abstract V Value<V>(V x)
        where V : struct, IVector<V>;

    static abstract V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>;
}

/// <summary>x s(x) with s the sigmoid; derivative s (1 + x (1 - s)).</summary>
internal readonly struct SiluActivation : IActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, IVector<V> => x / (V.Create(1f) + SimdMath.Exp(V.Zero - x));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>
    {
        V s = SimdMath.Sigmoid(x);
        value = x * s;
        return V.MultiplyAdd(value, V.Create(1f) - s, s);
    }
}

/// <summary>x/2 (1 + tanh u) = x s(2 u), u = sqrt(2/pi) (x + 0.044715 x^3); derivative s + x s (1 - s) 2 u'.</summary>
internal readonly struct GeluTanhActivation : IActivation
{
    private const float Twice = 1.5957691216f;
    private const float Cubic = 0.044715f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, IVector<V> => x * SimdMath.Sigmoid(V.Create(Twice) * x * V.MultiplyAdd(V.Create(Cubic), x * x, V.Create(1f)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>
    {
        V square = x * x;
        V s = SimdMath.Sigmoid(V.Create(Twice) * x * V.MultiplyAdd(V.Create(Cubic), square, V.Create(1f)));
        value = x * s;
        V slope = V.Create(Twice) * V.MultiplyAdd(V.Create(3 * Cubic), square, V.Create(1f));
        return V.MultiplyAdd(value * (V.Create(1f) - s), slope, s);
    }
}

/// <summary>x P(x) with P the normal distribution; derivative P + x p with p the normal density.</summary>
internal readonly struct GeluErfActivation : IActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, IVector<V> => x * SimdMath.NormalDistribution(x, out _);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>
    {
        V p = SimdMath.NormalDistribution(x, out V bell);
        value = x * p;
        return V.MultiplyAdd(x * V.Create(0.3989422804f), bell, p);
    }
}

/// <summary>max(x, 0), with derivative 0 at 0.</summary>
internal readonly struct ReluActivation : IActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, IVector<V> => V.Max(V.Zero, x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>
    {
        value = V.Max(V.Zero, x);
        return V.LessThan(V.Zero, x) & V.Create(1f);
    }
}

/// <summary>max(x, 0)^2, with derivative 2 max(x, 0).</summary>
internal readonly struct ReluSquaredActivation : IActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, IVector<V>
    {
        V above = V.Max(V.Zero, x);
        return above * above;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>
    {
        V above = V.Max(V.Zero, x);
        value = above * above;
        return above + above;
    }
}

/// <summary>x, with derivative 1.</summary>
internal readonly struct IdentityActivation : IActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, IVector<V> => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>
    {
        value = x;
        return V.Create(1);
    }
}

/// <summary>s = 1 / (1 + e^-x), with derivative s (1 - s).</summary>
internal readonly struct SigmoidActivation : IActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, IVector<V> => SimdMath.Sigmoid(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, out V value)
        where V : struct, IVector<V>
    {
        value = SimdMath.Sigmoid(x);
        return value * (V.Create(1f) - value);
    }
}
