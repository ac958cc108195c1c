using System.Runtime.CompilerServices;
using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Step sizes of recurrences.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void StepSizesForward(Tensor x, Tensor bias, float low, float high, Tensor y)
    {
        float* px = x.Pointer, pb = bias.Pointer, py = y.Pointer;
        int n = x.Columns;
        ForRows(x.Rows, n, (_, first, end) =>
        {
            V least = V.Create(low), most = V.Create(high);
            for (long r = first; r < end; r++)
            {
                for (int j = 0; j < n; j += V.Count)
                {
                    int left = n - j;
                    V value = V.Load(px + (r * n) + j, left) + V.Load(pb + j, left);
                    V.Max(least, V.Min(most, Softplus(value))).Store(py + (r * n) + j, left);
                }
            }
        });
    }

    public void StepSizesBackward(Tensor dy, Tensor x, Tensor bias, float low, float high, Tensor dx)
    {
        float* pd = dy.Pointer, px = x.Pointer, pb = bias.Pointer, po = dx.Pointer;
        int n = x.Columns;
        ForRows(x.Rows, n, (_, first, end) =>
        {
            V least = V.Create(low), most = V.Create(high);
            for (long r = first; r < end; r++)
            {
                for (int j = 0; j < n; j += V.Count)
                {
                    int left = n - j;
                    V value = V.Load(px + (r * n) + j, left) + V.Load(pb + j, left), step = Softplus(value);
                    V within = V.LessThanOrEqual(least, step) & V.LessThanOrEqual(step, most);
                    (within & (V.Load(pd + (r * n) + j, left) * SimdMath.Sigmoid(value))).Store(po + (r * n) + j, left);
                }
            }
        });
    }

    /// <summary>
    /// max(v, 0) + log(1 + z) with z = e^-|v|, and log(1 + z) = 2 artanh(t), t = z / (2 + z), by its series: t is at most a third, and eight terms leave
    /// a relative error of 2e-9. So a small z keeps all its digits.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Softplus(V v)
    {
        V z = SimdMath.Exp(V.Zero - V.Abs(v)), t = z / (z + V.Create(2f)), square = t * t;
        V series = V.MultiplyAdd(V.Create(1f / 15), square, V.Create(1f / 13));
        series = V.MultiplyAdd(series, square, V.Create(1f / 11));
        series = V.MultiplyAdd(series, square, V.Create(1f / 9));
        series = V.MultiplyAdd(series, square, V.Create(1f / 7));
        series = V.MultiplyAdd(series, square, V.Create(1f / 5));
        series = V.MultiplyAdd(series, square, V.Create(1f / 3));
        series = V.MultiplyAdd(series, square, V.Create(1f));
        return V.MultiplyAdd(t + t, series, V.Max(V.Zero, v));
    }
}
