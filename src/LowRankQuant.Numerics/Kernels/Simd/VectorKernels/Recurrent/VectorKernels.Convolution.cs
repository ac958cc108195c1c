namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Causal convolution of every column by itself: rows times rows of taps, which are transposed once.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void ConvolveForward(Tensor x, int length, Tensor weight, Tensor? bias, Tensor? tail, Tensor y)
    {
        int columns = x.Columns, taps = weight.Columns;
        float* px = x.Pointer, py = y.Pointer, before = tail is null ? null : tail.Pointer, offset = bias is null ? null : bias.Pointer;
        using ScratchPool.Lease lease = Taps(weight);
        float* factors = lease.Pointer;
        ForRows(x.Rows, columns * taps, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                int t = r % length, missing = Math.Max(0, taps - 1 - t), sequence = r / length;
                long at = (long)r * columns;
                float* here = px + at - ((long)(taps - 1) * columns);
                float* old = before == null ? null : before + ((((long)sequence * (taps - 1)) + t) * columns);
                for (int c = 0; c < columns; c += V.Count)
                {
                    int left = columns - c, j = missing;
                    V sum = offset == null ? V.Zero : V.Load(offset + c, left);
                    for (int b = 0; old != null && b < missing; b++) sum = Tap(factors, b, old, columns, c, left, sum);
                    for (; j < taps; j++) sum = Tap(factors, j, here, columns, c, left, sum);
                    sum.Store(py + at + c, left);
                }
            }
        });
    }

    public void ConvolveBackward(Tensor dy, int length, Tensor weight, Tensor dx)
    {
        int columns = dy.Columns, taps = weight.Columns;
        float* pd = dy.Pointer, px = dx.Pointer;
        using ScratchPool.Lease lease = Taps(weight);
        float* factors = lease.Pointer;
        ForRows(dy.Rows, columns * taps, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                int ahead = Math.Min(taps - 1, length - 1 - (r % length));
                long at = (long)r * columns;
                for (int c = 0; c < columns; c += V.Count)
                {
                    int left = columns - c;
                    V sum = V.Zero;
                    for (int a = ahead; a >= 0; a--)
                    {
                        float* factor = factors + ((long)(taps - 1 - a) * columns) + c;
                        sum = V.MultiplyAdd(V.Load(factor, left), V.Load(pd + at + ((long)a * columns) + c, left), sum);
                    }
                    sum.Store(px + at + c, left);
                }
            }
        });
    }

    private static V Tap(float* factors, int tap, float* rows, int columns, int c, int left, V sum)
    {
        long at = ((long)tap * columns) + c;
        return V.MultiplyAdd(V.Load(factors + at, left), V.Load(rows + at, left), sum);
    }

    /// <summary>Weights [taps, columns].</summary>
    private ScratchPool.Lease Taps(Tensor weight)
    {
        int columns = weight.Rows, taps = weight.Columns;
        ScratchPool.Lease lease = _scratch.Rent(weight.Count);
        Transposition.Transpose(weight.Pointer, taps, columns, taps, lease.Pointer, columns);
        return lease;
    }
}
