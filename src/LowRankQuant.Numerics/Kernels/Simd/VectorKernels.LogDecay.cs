using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>The log decay of the delta rule.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void LogDecayForward(Tensor a, Tensor negativeA, Tensor dtBias, Tensor g)
    {
        float* pa = a.Pointer, factor = negativeA.Pointer, bias = dtBias.Pointer, pg = g.Pointer;
        int columns = a.Columns;
        ForRows(a.Rows, columns, (_, first, end) =>
        {
            for (long r = first; r < end; r++)
            {
                for (int c = 0; c < columns; c += V.Count)
                {
                    int left = columns - c;
                    V z = V.Load(pa + (r * columns) + c, left) + V.Load(bias + c, left);
                    (V.Load(factor + c, left) * SoftPlus(z)).Store(pg + (r * columns) + c, left);
                }
            }
        });
    }

    public void LogDecayBackward(Tensor dg, Tensor a, Tensor negativeA, Tensor dtBias, Tensor da)
    {
        float* pd = dg.Pointer, pa = a.Pointer, factor = negativeA.Pointer, bias = dtBias.Pointer, po = da.Pointer;
        int columns = a.Columns;
        ForRows(a.Rows, columns, (_, first, end) =>
        {
            for (long r = first; r < end; r++)
            {
                for (int c = 0; c < columns; c += V.Count)
                {
                    int left = columns - c;
                    long at = (r * columns) + c;
                    V z = V.Load(pa + at, left) + V.Load(bias + c, left);
                    (V.Load(pd + at, left) * V.Load(factor + c, left) * SimdMath.Sigmoid(z)).Store(po + at, left);
                }
            }
        });
    }

    /// <summary>
    /// ln(1 + e^z) = max(z, 0) + ln(1 + t), t = e^-|z|, and ln(1 + t) = 2 artanh(s) = 2 (s + s^3/3 + s^5/5 + ...), s = t / (2 + t) at most a third: to
    /// its relative precision for small t too, where 1 + t would lose it. What is left out is below 2e-9 of it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V SoftPlus(V z)
    {
        V t = SimdMath.Exp(V.Zero - V.Abs(z)), s = t / (V.Create(2f) + t), square = s * s;
        V p = V.MultiplyAdd(V.Create(1f / 15), square, V.Create(1f / 13));
        p = V.MultiplyAdd(p, square, V.Create(1f / 11));
        p = V.MultiplyAdd(p, square, V.Create(1f / 9));
        p = V.MultiplyAdd(p, square, V.Create(1f / 7));
        p = V.MultiplyAdd(p, square, V.Create(1f / 5));
        p = V.MultiplyAdd(p, square, V.Create(1f / 3));
        return V.Max(V.Zero, z) + (V.Create(2f) * V.MultiplyAdd(p * square, s, s));
    }
}
