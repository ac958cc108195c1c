namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Rotary position embedding.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void Rotate(
        Tensor x, Tensor cosine, Tensor sine, int headSize, bool interleaved, int sequenceLength, int positionOffset, bool inverse, Tensor y)
    {
        float* px = x.Pointer, py = y.Pointer, pc = cosine.Pointer, ps = sine.Pointer;
        int columns = x.Columns, half = cosine.Columns;
        float sign = inverse ? -1 : 1;
        ForRows(x.Rows, columns, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                long angle = ((long)(r % sequenceLength) + positionOffset) * half;
                for (int h = 0; h < columns; h += headSize)
                {
                    float* from = px + ((long)r * columns) + h, to = py + ((long)r * columns) + h;
                    if (interleaved) RotatePairs(from, pc + angle, ps + angle, sign, to, half);
                    else RotateHalves(from, pc + angle, ps + angle, sign, to, half);
                    int rest = headSize - (2 * half);
                    if (from != to && rest > 0) new ReadOnlySpan<float>(from + (2 * half), rest).CopyTo(new Span<float>(to + (2 * half), rest));
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

    private static void RotatePairs(float* x, float* cosine, float* sine, float sign, float* y, int half)
    {
        for (int j = 0; j < half; j++)
        {
            float u = x[2 * j], v = x[(2 * j) + 1], cos = cosine[j], sin = sign * sine[j];
            y[2 * j] = (u * cos) - (v * sin);
            y[(2 * j) + 1] = (v * cos) + (u * sin);
        }
    }
}
