using System.Numerics;

namespace LowRankQuant.Numerics.LinearAlgebra.Vectors;

/// <summary>Limits of a floating-point type, as constants once the type is known to the compiler.</summary>
internal static class MachineLimits<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    /// <summary>Distance from 1 to the next number: 2^-52 for double, 2^-23 for float.</summary>
    public static readonly T Epsilon = T.BitIncrement(T.One) - T.One;

    /// <summary>The smallest number with full precision (T.Epsilon of .NET is the smallest subnormal).</summary>
    public static readonly T SmallestNormal = T.Epsilon / Epsilon;

    /// <summary>Lengths below this are treated as zero in a matrix scaled to about one: their reciprocal still fits the type.</summary>
    public static readonly T Negligible = SmallestNormal / Epsilon;
}
