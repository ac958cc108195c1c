using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Losses and statistics of logits.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public double SquaredError(Tensor x, Tensor target, Tensor? rowWeights, float factor, Tensor? gradient)
    {
        float* px = x.Pointer, pt = target.Pointer;
        float* pw = rowWeights is null ? null : rowWeights.Pointer, pg = gradient is null ? null : gradient.Pointer;
        int rows = x.Rows, n = x.Columns;
        var partial = new double[Chunks(rows, RowsPerChunk(rows, n))];
        ForRows(rows, n, (chunk, first, end) =>
        {
            double sum = 0;
            for (int r = first; r < end; r++)
            {
                long at = (long)r * n;
                float weight = pw == null ? 1 : pw[r];
                sum += weight * SquaredErrorRow(px + at, pt + at, n, 2 * factor * weight, pg == null ? null : pg + at);
            }
            partial[chunk] = sum;
        });
        double total = 0;
        foreach (double part in partial) total += part;
        return factor * total;
    }

    public void CrossEntropyForward(Tensor logits, ReadOnlySpan<int> targets, Tensor negativeLogLikelihood, Tensor logSumExp)
    {
        float* px = logits.Pointer, pn = negativeLogLikelihood.Pointer, pl = logSumExp.Pointer;
        int n = logits.Columns;
        fixed (int* pinned = targets)
        {
            int* target = pinned;
            ForRows(logits.Rows, n, (_, first, end) =>
            {
                for (int r = first; r < end; r++)
                {
                    float* row = px + ((long)r * n);
                    double total = LogSumExp(row, n, out int _);
                    pl[r] = (float)total;
                    pn[r] = target[r] < 0 ? 0 : (float)(total - row[target[r]]);
                }
            });
        }
    }

    public void CrossEntropyBackward(Tensor logits, ReadOnlySpan<int> targets, Tensor logSumExp, float scale, Tensor dLogits)
    {
        float* px = logits.Pointer, pl = logSumExp.Pointer, pd = dLogits.Pointer;
        int n = logits.Columns;
        fixed (int* pinned = targets)
        {
            int* target = pinned;
            ForRows(logits.Rows, n, (_, first, end) =>
            {
                for (int r = first; r < end; r++)
                {
                    float* gradient = pd + ((long)r * n);
                    if (target[r] < 0)
                    {
                        Clear(gradient, n);
                        continue;
                    }
                    SoftmaxRow(px + ((long)r * n), pl[r], scale, gradient, n);
                    gradient[target[r]] -= scale;
                }
            });
        }
    }

    public void SoftmaxStatistics(Tensor logits, Tensor logSumExp, Span<int> largest)
    {
        float* px = logits.Pointer, pl = logSumExp.Pointer;
        int n = logits.Columns;
        fixed (int* pinned = largest)
        {
            int* index = pinned;
            ForRows(logits.Rows, n, (_, first, end) =>
            {
                for (int r = first; r < end; r++)
                {
                    float* row = px + ((long)r * n);
                    pl[r] = (float)LogSumExp(row, n, out index[r]);
                }
            });
        }
    }

    public void KlDivergence(Tensor reference, Tensor logits, Span<double> divergence)
    {
        float* pa = reference.Pointer, pb = logits.Pointer;
        int n = logits.Columns;
        fixed (double* pinned = divergence)
        {
            double* result = pinned;
            ForRows(logits.Rows, n, (_, first, end) =>
            {
                for (int r = first; r < end; r++) result[r] = KlDivergenceRow(pa + ((long)r * n), pb + ((long)r * n), n);
            });
        }
    }

    private static double SquaredErrorRow(float* x, float* target, int n, float slope, float* gradient)
    {
        D low = D.Zero, high = D.Zero;
        V s = V.Create(slope);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            V difference = V.Load(x + j, left) - V.Load(target + j, left);
            if (gradient != null) (s * difference).Store(gradient + j, left);
            V.Widen(difference, out D lower, out D upper);
            low = D.MultiplyAdd(lower, lower, low);
            high = D.MultiplyAdd(upper, upper, high);
        }
        return D.Sum(low + high);
    }

    private static void SoftmaxRow(float* x, float logSumExp, float scale, float* y, int n)
    {
        V l = V.Create(logSumExp), s = V.Create(scale);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            (s * SimdMath.Exp(V.Load(x + j, left) - l)).Store(y + j, left);
        }
    }

    /// <summary>
    /// With shifts A, B (the largest elements): sum p (a - b) - log sum e^a + log sum e^b
    /// = sum e^(a-A) ((a-A) - (b-B)) / sum e^(a-A) - log sum e^(a-A) + log sum e^(b-B).
    /// </summary>
    private static double KlDivergenceRow(float* a, float* b, int n)
    {
        double peakA = a[FirstLargest(a, n)], peakB = b[FirstLargest(b, n)];
        D shiftA = D.Create(peakA), shiftB = D.Create(peakB);
        D sumA = D.Zero, sumB = D.Zero, product = D.Zero;
        int j = 0;
        for (; j <= n - V.Count; j += V.Count)
        {
            V.Widen(V.Load(a + j), out D lowA, out D highA);
            V.Widen(V.Load(b + j), out D lowB, out D highB);
            lowA -= shiftA;
            highA -= shiftA;
            lowB -= shiftB;
            highB -= shiftB;
            D lowP = SimdMath.ExpDouble(lowA), highP = SimdMath.ExpDouble(highA);
            sumA += lowP + highP;
            sumB += SimdMath.ExpDouble(lowB) + SimdMath.ExpDouble(highB);
            product = D.MultiplyAdd(lowP, lowA - lowB, D.MultiplyAdd(highP, highA - highB, product));
        }
        double totalA = D.Sum(sumA), totalB = D.Sum(sumB), total = D.Sum(product);
        for (; j < n; j++)
        {
            double u = a[j] - peakA, v = b[j] - peakB, p = Math.Exp(u);
            totalA += p;
            totalB += Math.Exp(v);
            total += p * (u - v);
        }
        return (total / totalA) - Math.Log(totalA) + Math.Log(totalB);
    }
}
