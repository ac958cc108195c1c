using System.Runtime.CompilerServices;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd.Functions;

/// <summary>
/// Elementary functions on vectors. The polynomials were fitted at Chebyshev nodes for this file; the errors named are the largest ones found.
/// </summary>
internal static class SimdMath
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private const float ErfcTerm0 = 0.1691728985f;
    private const float ErfcTerm1 = 0.1709523611f;
    private const float ErfcTerm2 = 0.1467699324f;
    private const float ErfcTerm3 = 0.2206502082f;
    private const float ErfcTerm4 = -0.1072606248f;
    private const float ErfcTerm5 = 0.5649343007f;
    private const float ErfcTerm6 = -0.5265315511f;
    private const float ErfcTerm7 = 0.4921228788f;
    private const float ErfcTerm8 = -0.1308104251f;

    /// <summary>
    /// e^x = 2^k e^r with k = round(x / ln 2), |r| at most (ln 2) / 2. Relative error below 1.5e-7 over the normal range (2 units in the last
    /// place); subnormal results are rounded to their grid, larger ones than the largest float are infinite, NaN stays NaN.
    /// </summary>
    [MethodImpl(Inline)]
    public static V Exp<V>(V x)
        where V : struct, IVector<V>
    {
        x = V.Min(V.Create(89f), V.Max(V.Create(-104f), x));
        V k = V.Round(x * V.Create(1.44269504f));

        // ln 2 in two parts; the first has few enough bits that k times it is exact.
        V r = V.MultiplyAdd(k, V.Create(-0.693359375f), x);
        r = V.MultiplyAdd(k, V.Create(2.12194440e-4f), r);
        V p = V.MultiplyAdd(V.Create(0.0013926250f), r, V.Create(0.0083632329f));
        p = V.MultiplyAdd(p, r, V.Create(0.0416665524f));
        p = V.MultiplyAdd(p, r, V.Create(0.1666657627f));
        p = V.MultiplyAdd(p, r, V.Create(0.5f));
        p = V.MultiplyAdd(p, r * r, r) + V.Create(1f);
        return V.ScaleByPowerOfTwo(p, k);
    }

    /// <summary>
    /// e^x in double precision for x up to 700, by the same reduction and the series to r^10: relative error below 4e-13. Below -708 it is e^-708.
    /// </summary>
    [MethodImpl(Inline)]
    public static D ExpDouble<D>(D x)
        where D : struct, IDoubleVector<D>
    {
        x = D.Max(D.Create(-708), x);
        D k = D.Round(x * D.Create(1.4426950408889634));
        D r = D.MultiplyAdd(k, D.Create(-0.693359375), x);
        r = D.MultiplyAdd(k, D.Create(2.1219444005469057e-4), r);
        D p = D.MultiplyAdd(D.Create(1.0 / 3628800), r, D.Create(1.0 / 362880));
        p = D.MultiplyAdd(p, r, D.Create(1.0 / 40320));
        p = D.MultiplyAdd(p, r, D.Create(1.0 / 5040));
        p = D.MultiplyAdd(p, r, D.Create(1.0 / 720));
        p = D.MultiplyAdd(p, r, D.Create(1.0 / 120));
        p = D.MultiplyAdd(p, r, D.Create(1.0 / 24));
        p = D.MultiplyAdd(p, r, D.Create(1.0 / 6));
        p = D.MultiplyAdd(p, r, D.Create(0.5));
        p = D.MultiplyAdd(p, r, D.Create(1));
        p = D.MultiplyAdd(p, r, D.Create(1));
        return D.ScaleByPowerOfTwo(p, k);
    }

    /// <summary>1 / (1 + e^-x).</summary>
    [MethodImpl(Inline)]
    public static V Sigmoid<V>(V x)
        where V : struct, IVector<V> => V.Create(1f) / (V.Create(1f) + Exp(V.Zero - x));

    /// <summary>tanh x: an odd polynomial below 0.64, else 1 - 2 / (e^2|x| + 1) with the sign of x. Relative error below 3e-7.</summary>
    [MethodImpl(Inline)]
    public static V Tanh<V>(V x)
        where V : struct, IVector<V>
    {
        V z = x * x;
        V p = V.MultiplyAdd(V.Create(-0.0059929631f), z, V.Create(0.0209241491f));
        p = V.MultiplyAdd(p, z, V.Create(-0.0538351424f));
        p = V.MultiplyAdd(p, z, V.Create(0.1333266348f));
        p = V.MultiplyAdd(p, z, V.Create(-0.3333332837f));
        V near = V.MultiplyAdd(p, z * x, x);
        V size = V.Abs(x);
        V far = V.Create(1f) - (V.Create(2f) / (Exp(size + size) + V.Create(1f)));
        far = V.Select(V.LessThan(x, V.Zero), V.Zero - far, far);
        return V.Select(V.LessThan(size, V.Create(0.64f)), near, far);
    }

    /// <summary>
    /// Distribution function of the standard normal, (1 + erf(x / sqrt 2)) / 2 = erfc(-x / sqrt 2) / 2. For z at least 0 erfc(z) = e^(-z z) t P(t),
    /// t = 1 / (1 + 0.3 z), P of degree 8 (relative error 2.5e-8); erfc(-z) = 2 - erfc(z). Also gives e^(-x x / 2).
    /// </summary>
    [MethodImpl(Inline)]
    public static V NormalDistribution<V>(V x, out V bell)
        where V : struct, IVector<V>
    {
        V t = V.Create(1f) / V.MultiplyAdd(V.Create(0.3f * 0.70710678f), V.Abs(x), V.Create(1f));
        V p = V.MultiplyAdd(V.Create(ErfcTerm8), t, V.Create(ErfcTerm7));
        p = V.MultiplyAdd(p, t, V.Create(ErfcTerm6));
        p = V.MultiplyAdd(p, t, V.Create(ErfcTerm5));
        p = V.MultiplyAdd(p, t, V.Create(ErfcTerm4));
        p = V.MultiplyAdd(p, t, V.Create(ErfcTerm3));
        p = V.MultiplyAdd(p, t, V.Create(ErfcTerm2));
        p = V.MultiplyAdd(p, t, V.Create(ErfcTerm1));
        p = V.MultiplyAdd(p, t, V.Create(ErfcTerm0));
        bell = Exp(x * x * V.Create(-0.5f));
        V tail = V.Create(0.5f) * p * t * bell;
        return V.Select(V.LessThan(x, V.Zero), tail, V.Create(1f) - tail);
    }

}
