namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Columns copied from one matrix into another, every row as often as asked, and the sums that are the gradient of it.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void CopyColumns(Tensor x, int start, int repeat, Tensor y, int place, int width)
    {
        float* px = x.Pointer + start, py = y.Pointer + place;
        int from = x.Columns, to = y.Columns;
        ForRows(y.Rows, width, (_, first, end) =>
        {
            for (int r = first; r < end; r++) new ReadOnlySpan<float>(px + ((long)(r / repeat) * from), width).CopyTo(new Span<float>(py + ((long)r * to), width));
        });
    }

    public void AddColumns(Tensor dy, int place, int repeat, Tensor dx, int start, int width)
    {
        float* pd = dy.Pointer + place, px = dx.Pointer + start;
        int from = dy.Columns, to = dx.Columns;
        ForRows(dx.Rows, width * repeat, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                float* sums = px + ((long)r * to), rows = pd + ((long)r * repeat * from);
                for (int j = 0; j < width; j += V.Count)
                {
                    int left = width - j;
                    V sum = V.Load(sums + j, left);
                    for (int h = 0; h < repeat; h++) sum += V.Load(rows + ((long)h * from) + j, left);
                    sum.Store(sums + j, left);
                }
            }
        });
    }
}
