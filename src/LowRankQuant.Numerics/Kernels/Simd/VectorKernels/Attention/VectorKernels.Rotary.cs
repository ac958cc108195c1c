namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Rotary position embedding.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void Rotate(
        Tensor x, Tensor cosine, Tensor sine, int headSize, bool interleaved, int sequenceLength, int positionOffset, bool inverse, Tensor y)
    {
        float* px = x.Pointer, py = y.Pointer, pc = cosine.Pointer, ps = sine.Pointer;
        int columns = x.Columns, half = cosine.Columns, rotated = 2 * half;
        float sign = inverse ? -1 : 1;
        using ScratchPool.Lease lease = _scratch.Rent(interleaved ? 2L * sequenceLength * rotated : 0);
        float* pairs = lease.Pointer;
        if (interleaved)
        {
            ForRows(sequenceLength, 2 * rotated, (_, first, end) =>
            {
                for (int r = first; r < end; r++)
                {
                    long angle = ((long)r + positionOffset) * half;
                    SpreadAngles(pc + angle, ps + angle, sign, pairs + (2L * r * rotated), half);
                }
            });
        }
        ForRows(x.Rows, columns, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                int place = r % sequenceLength;
                long angle = ((long)place + positionOffset) * half;
                for (int h = 0; h < columns; h += headSize)
                {
                    float* from = px + ((long)r * columns) + h, to = py + ((long)r * columns) + h;
                    if (interleaved) RotatePairs(from, pairs + (2L * place * rotated), to, rotated);
                    else RotateHalves(from, pc + angle, ps + angle, sign, to, half);
                    int rest = headSize - rotated;
                    if (from != to && rest > 0) new ReadOnlySpan<float>(from + rotated, rest).CopyTo(new Span<float>(to + rotated, rest));
                }
            }
        });
    }

    private static void RotateHalves(float* x, float* cosine, float* sine, float sign, float* y, int half)
    {
        V s = V.Create(sign);
        for (int j = 0; j < half; j += V.Count)
        {
            int left = half - j;
            V u = V.Load(x + j, left), v = V.Load(x + half + j, left), cos = V.Load(cosine + j, left), sin = s * V.Load(sine + j, left);
            ((u * cos) - (v * sin)).Store(y + j, left);
            V.MultiplyAdd(v, cos, u * sin).Store(y + half + j, left);
        }
    }

    /// <summary>Cosines, each twice; then minus the sine and the sine of each.</summary>
    private static void SpreadAngles(float* cosine, float* sine, float sign, float* pairs, int half)
    {
        float* sines = pairs + (2 * half);
        for (int j = 0; j < half; j++)
        {
            pairs[2 * j] = pairs[(2 * j) + 1] = cosine[j];
            sines[2 * j] = -sign * sine[j];
            sines[(2 * j) + 1] = sign * sine[j];
        }
    }

    private static void RotatePairs(float* x, float* pairs, float* y, int rotated)
    {
        for (int j = 0; j < rotated; j += V.Count)
        {
            int left = rotated - j;
            V u = V.Load(x + j, left);
            V.MultiplyAdd(u, V.Load(pairs + j, left), V.SwapPairs(u) * V.Load(pairs + rotated + j, left)).Store(y + j, left);
        }
    }
}
