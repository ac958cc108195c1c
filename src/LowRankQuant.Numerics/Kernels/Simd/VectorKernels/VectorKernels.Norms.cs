namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Normalisations.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void RmsNormForward(Tensor x, Tensor weight, float epsilon, float weightOffset, Tensor y, Tensor inverseRms)
    {
        float* px = x.Pointer, pw = weight.Pointer, py = y.Pointer, pi = inverseRms.Pointer;
        int n = x.Columns;
        ForRows(x.Rows, n, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                float* row = px + ((long)r * n);
                double meanSquare = SumOfSquares(row, n, 0) / n;
                float inverse = (float)(1 / Math.Sqrt(meanSquare + epsilon));
                pi[r] = inverse;
                NormRow(row, pw, weightOffset, null, 0, inverse, py + ((long)r * n), n);
            }
        });
    }

    public void RmsNormBackward(
        Tensor dy, Tensor x, Tensor weight, float weightOffset, Tensor inverseRms, Tensor dx, bool accumulate, Tensor? dWeight)
    {
        float* pd = dy.Pointer, px = x.Pointer, pw = weight.Pointer, pi = inverseRms.Pointer, po = dx.Pointer;
        int rows = x.Rows, n = x.Columns, chunks = Chunks(rows, RowsPerChunk(rows, n));
        using ScratchPool.Lease lease = _scratch.Rent(dWeight is null ? 0 : (long)chunks * n);
        float* partial = dWeight is null ? null : lease.Pointer;
        ForRows(rows, n, (chunk, first, end) =>
        {
            float* mine = partial == null ? null : partial + ((long)chunk * n);
            if (mine != null) Clear(mine, n);
            for (int r = first; r < end; r++)
            {
                long at = (long)r * n;
                RowProducts(pd + at, px + at, pw, weightOffset, 0, n, out _, out float product);
                float inverse = pi[r], factor = (float)((double)inverse * inverse * product / n);
                NormRowBackward(pd + at, px + at, pw, weightOffset, 0, inverse, 0, factor, po + at, accumulate, mine, null, n);
            }
        });
        if (dWeight is not null) SumPartials(partial, chunks, n, dWeight.Pointer, accumulate: true);
    }

    public void LayerNormForward(Tensor x, Tensor weight, Tensor? bias, float epsilon, Tensor y, Tensor mean, Tensor inverseDeviation)
    {
        float* px = x.Pointer, pw = weight.Pointer, pb = bias is null ? null : bias.Pointer, py = y.Pointer;
        float* pm = mean.Pointer, pi = inverseDeviation.Pointer;
        int n = x.Columns;
        ForRows(x.Rows, n, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                float* row = px + ((long)r * n);
                float average = (float)((double)Sum(row, n) / n);
                float inverse = (float)(1 / Math.Sqrt((SumOfSquares(row, n, average) / n) + epsilon));
                pm[r] = average;
                pi[r] = inverse;
                NormRow(row, pw, 0, pb, average, inverse, py + ((long)r * n), n);
            }
        });
    }

    public void LayerNormBackward(
        Tensor dy, Tensor x, Tensor weight, Tensor mean, Tensor inverseDeviation, Tensor dx, bool accumulate, Tensor? dWeight, Tensor? dBias)
    {
        float* pd = dy.Pointer, px = x.Pointer, pw = weight.Pointer, pm = mean.Pointer, pi = inverseDeviation.Pointer, po = dx.Pointer;
        int rows = x.Rows, n = x.Columns, chunks = Chunks(rows, RowsPerChunk(rows, n));
        long size = (long)chunks * n;
        using ScratchPool.Lease lease = _scratch.Rent(dWeight is null && dBias is null ? 0 : 2 * size);
        float* partialWeight = dWeight is null ? null : lease.Pointer, partialBias = dBias is null ? null : lease.Pointer + size;
        ForRows(rows, n, (chunk, first, end) =>
        {
            float* mineWeight = partialWeight == null ? null : partialWeight + ((long)chunk * n);
            float* mineBias = partialBias == null ? null : partialBias + ((long)chunk * n);
            if (mineWeight != null) Clear(mineWeight, n);
            if (mineBias != null) Clear(mineBias, n);
            for (int r = first; r < end; r++)
            {
                long at = (long)r * n;
                float average = pm[r], inverse = pi[r];
                RowProducts(pd + at, px + at, pw, 0, average, n, out float sum, out float product);
                float shift = (float)((double)sum / n), factor = (float)((double)inverse * inverse * product / n);
                NormRowBackward(pd + at, px + at, pw, 0, average, inverse, shift, factor, po + at, accumulate, mineWeight, mineBias, n);
            }
        });
        if (dWeight is not null) SumPartials(partialWeight, chunks, n, dWeight.Pointer, accumulate: true);
        if (dBias is not null) SumPartials(partialBias, chunks, n, dBias.Pointer, accumulate: true);
    }

    private static float Sum(float* x, int n)
    {
        V a = V.Zero, b = V.Zero;
        int j = 0;
        for (; j <= n - (2 * V.Count); j += 2 * V.Count)
        {
            a += V.Load(x + j);
            b += V.Load(x + j + V.Count);
        }
        for (; j < n; j += V.Count) a += V.Load(x + j, n - j);
        return V.Sum(a + b);
    }

    private static float SumOfSquares(float* x, int n, float center)
    {
        V a = V.Zero, b = V.Zero, c = V.Create(center);
        int j = 0;
        for (; j <= n - (2 * V.Count); j += 2 * V.Count)
        {
            V u = V.Load(x + j) - c, v = V.Load(x + j + V.Count) - c;
            a = V.MultiplyAdd(u, u, a);
            b = V.MultiplyAdd(v, v, b);
        }
        for (; j < n; j += V.Count)
        {
            int left = n - j;
            V u = V.Load(x + j, left) - c;
            if (left < V.Count) u &= V.LessThan(V.Indices, V.Create(left));
            a = V.MultiplyAdd(u, u, a);
        }
        return V.Sum(a + b);
    }

    /// <summary>y = (x - center) * inverse * (weight + offset) + bias.</summary>
    private static void NormRow(float* x, float* weight, float offset, float* bias, float center, float inverse, float* y, int n)
    {
        V c = V.Create(center), i = V.Create(inverse), o = V.Create(offset);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            V value = (V.Load(x + j, left) - c) * i * (V.Load(weight + j, left) + o);
            if (bias != null) value += V.Load(bias + j, left);
            value.Store(y + j, left);
        }
    }

    /// <summary>sum = sum of g, product = sum of g (x - center), with g = dy (weight + offset).</summary>
    private static void RowProducts(
        float* dy, float* x, float* weight, float offset, float center, int n, out float sum, out float product)
    {
        V c = V.Create(center), o = V.Create(offset), s = V.Zero, p = V.Zero;
        for (int j = 0; j < n; j += V.Count)
        {
            // Beyond the end dy and with it g is zero.
            int left = n - j;
            V g = V.Load(dy + j, left) * (V.Load(weight + j, left) + o);
            s += g;
            p = V.MultiplyAdd(g, V.Load(x + j, left) - c, p);
        }
        sum = V.Sum(s);
        product = V.Sum(p);
    }

    /// <summary>dx (+)= inverse (g - shift - (x - center) factor); partial sums of dy (x - center) inverse and of dy.</summary>
    private static void NormRowBackward(
        float* dy, float* x, float* weight, float offset, float center, float inverse, float shift, float factor,
        float* dx, bool accumulate, float* dWeight, float* dBias, int n)
    {
        V c = V.Create(center), o = V.Create(offset), i = V.Create(inverse), s = V.Create(shift), f = V.Create(factor);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            V d = V.Load(dy + j, left), u = V.Load(x + j, left) - c;
            V value = i * ((d * (V.Load(weight + j, left) + o)) - s - (u * f));
            if (accumulate) value += V.Load(dx + j, left);
            value.Store(dx + j, left);
            if (dWeight != null) V.MultiplyAdd(d, u * i, V.Load(dWeight + j, left)).Store(dWeight + j, left);
            if (dBias != null) (d + V.Load(dBias + j, left)).Store(dBias + j, left);
        }
    }
}
