using System.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// The LRQ fake quantizer (LRQ, arXiv 2407.11534, equation 2 and its released code), element (i, j), group g = j / groupSize:
/// <code>
/// D = delta + r2_i + c2_j        q = clamp(round(W / exp(log s1 + D)), -zero, maxCode - zero)        What = q exp(log s1)
/// zero = z + f, z whole, |f| at most 1/2:  q = clamp(round(W / exp(log s1 + D) + f), -z, maxCode - z) - f
/// R = M W exp(-D), M = 1 within the clamp, ends included
/// dD = -G R        dr2 = row sums of dD        dc2 = column sums of dD        dlog s1 = sum over the group of G (What - R)
/// </code>
/// Straight-through: round counts as the identity, clamp as the identity within. With x = W / exp(log s1 + D) inside the clamp,
/// dWhat/dD = exp(log s1) dx/dD = -W exp(-D), and dWhat/dlog s1 = What + exp(log s1) dx/dlog s1 = What - W exp(-D).
/// V in front of the rounding: round(W / exp(log s1 + D) + V + f);  S = M exp(log s1);  dV = G S,  dzero = sum over the group of G (S - exp(log s1))
/// softness h > 0: the code of x = n + d, n = round(x), |d| > 1/2 - h, is n + sign(d) (|d| - 1/2 + h) / (2 h) instead of n
/// Codes that are floats: q = the nearest of their numbers to W / exp(log s1 + D), and M = 1 up to the largest of them; there is no zero.
/// A zero that is no integer keeps its place among the codes: the value 0 is then no code's, as on grids with stored minima.
/// </summary>
internal static partial class Reference
{
    /// <summary>An empty delta, row or column offset stands for zeros; an empty residue is not written.</summary>
    public static void FakeQuantizeForward<T>(
        ReadOnlySpan<T> weight, int columns, ReadOnlySpan<T> logScale, ReadOnlySpan<T> zero, ReadOnlySpan<T> delta, ReadOnlySpan<T> rowOffset,
        ReadOnlySpan<T> columnOffset, int maxCode, Span<T> quantized, Span<T> residue, SmallFloat? floats = null,
        ReadOnlySpan<T> offset = default, Span<T> slope = default, float softness = 0)
        where T : IFloatingPointIeee754<T>
    {
        int groupSize = weight.Length / logScale.Length;
        T top = T.CreateChecked(maxCode);
        for (int i = 0; i < weight.Length; i++)
        {
            int group = i / groupSize;
            T d = (delta.IsEmpty ? T.Zero : delta[i]) + (rowOffset.IsEmpty ? T.Zero : rowOffset[i / columns])
                + (columnOffset.IsEmpty ? T.Zero : columnOffset[i % columns]);
            T whole = T.Round(zero[group], MidpointRounding.ToEven), fraction = zero[group] - whole, low = -whole, high = top - whole;
            T ratio = weight[i] / T.Exp(logScale[group] + d), code;
            bool within;
            if (floats is null)
            {
                T shifted = ratio + fraction + (offset.IsEmpty ? T.Zero : offset[i]);
                code = T.Round(shifted, MidpointRounding.ToEven);
                within = code >= low && code <= high;
                if (softness > 0) code = OnRamp(shifted, code, T.CreateChecked(softness));
            }
            else
            {
                (code, fraction, high) = (floats.RoundOpen(ratio), T.Zero, T.CreateChecked(floats.Largest));
                low = -high;
                within = code >= low && code <= high;
            }
            quantized[i] = (T.Min(T.Max(code, low), high) - fraction) * T.Exp(logScale[group]);
            if (!residue.IsEmpty) residue[i] = within ? weight[i] * T.Exp(-d) : T.Zero;
            if (!slope.IsEmpty) slope[i] = within ? T.Exp(logScale[group]) : T.Zero;
        }
    }

    /// <summary>Gradients of offsets and zero points; empty ones are not written.</summary>
    public static void FakeQuantizeOffsetBackward<T>(ReadOnlySpan<T> upstream, ReadOnlySpan<T> logScale, ReadOnlySpan<T> slope, Span<T> dOffset, Span<T> dZero)
        where T : IFloatingPointIeee754<T>
    {
        int groupSize = upstream.Length / logScale.Length;
        dZero.Clear();
        for (int i = 0; i < upstream.Length; i++)
        {
            if (!dOffset.IsEmpty) dOffset[i] = upstream[i] * slope[i];
            if (!dZero.IsEmpty) dZero[i / groupSize] += upstream[i] * (slope[i] - T.Exp(logScale[i / groupSize]));
        }
    }

    private static T OnRamp<T>(T value, T nearest, T softness)
        where T : IFloatingPointIeee754<T>
    {
        T distance = value - nearest, half = T.CreateChecked(0.5), zone = half - softness;
        return T.Abs(distance) <= zone ? nearest : nearest + (T.CopySign(T.Abs(distance) - zone, distance) / (softness + softness));
    }

    /// <summary>Empty gradients are not written.</summary>
    public static void FakeQuantizeBackward<T>(
        ReadOnlySpan<T> upstream, int columns, ReadOnlySpan<T> quantized, ReadOnlySpan<T> residue,
        Span<T> dDelta, Span<T> dLogScale, Span<T> dRowOffset, Span<T> dColumnOffset)
        where T : IFloatingPointIeee754<T>
    {
        int groupSize = upstream.Length / dLogScale.Length;
        dLogScale.Clear();
        dRowOffset.Clear();
        dColumnOffset.Clear();
        for (int i = 0; i < upstream.Length; i++)
        {
            T g = upstream[i], r = residue[i], d = -g * r;
            dLogScale[i / groupSize] += g * (quantized[i] - r);
            if (!dRowOffset.IsEmpty) dRowOffset[i / columns] += d;
            if (!dColumnOffset.IsEmpty) dColumnOffset[i % columns] += d;
            if (!dDelta.IsEmpty) dDelta[i] = d;
        }
    }
}
