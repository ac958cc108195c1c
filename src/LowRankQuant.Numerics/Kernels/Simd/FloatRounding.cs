using LowRankQuant.Numerics.Kernels.Simd.Vectors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// <see cref="SmallFloat"/>'s rounding in vectors: the bits of the exponent alone are the power of two below a number, which is brought up to the least normal one; a multiple of
/// 2^-m of that is the nearest number.
/// </summary>
/// <param name="format">The kind of numbers.</param>
internal readonly struct FloatRounding<V>(SmallFloat format)
    where V : struct, IVector<V>
{
    private readonly V _exponentBits = V.Create(float.PositiveInfinity);
    private readonly V _leastNormal = V.Create(MathF.ScaleB(1, format.LeastExponent));
    private readonly V _unit = V.Create(MathF.ScaleB(1, -format.MantissaBits));

    /// <summary>The largest number.</summary>
    public V Largest { get; } = V.Create(format.Largest);

    /// <summary>The nearest number, with exponents that go on beyond the largest one.</summary>
    public V RoundOpen(V x)
    {
        V step = V.Max(_leastNormal, x & _exponentBits) * _unit;
        return V.Round(x / step) * step;
    }
}
