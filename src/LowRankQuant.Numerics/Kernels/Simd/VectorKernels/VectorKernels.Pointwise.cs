namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Copies, sums and embeddings.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void Upload(ReadOnlySpan<float> source, Tensor destination) => source.CopyTo(new Span<float>(destination.Pointer, source.Length));

    public void Download(Tensor source, Span<float> destination) => new ReadOnlySpan<float>(source.Pointer, destination.Length).CopyTo(destination);

    public void Copy(Tensor source, Tensor destination)
    {
        float* from = source.Pointer, to = destination.Pointer;
        if (from == to) return;
        ForElements(source.Count, (start, n) => new ReadOnlySpan<float>(from + start, n).CopyTo(new Span<float>(to + start, n)));
    }

    public void Fill(Tensor x, float value)
    {
        float* p = x.Pointer;
        ForElements(x.Count, (start, n) => new Span<float>(p + start, n).Fill(value));
    }

    public void Add(Tensor a, Tensor b, Tensor y)
    {
        float* pa = a.Pointer, pb = b.Pointer, py = y.Pointer;
        ForElements(a.Count, (start, n) => AddChunk(pa + start, pb + start, py + start, n));
    }

    public void AddScaled(Tensor x, float factor, Tensor y)
    {
        float* px = x.Pointer, py = y.Pointer;
        ForElements(x.Count, (start, n) => AddScaledChunk(px + start, factor, py + start, n));
    }

    public void Scale(Tensor x, float factor, Tensor y)
    {
        float* px = x.Pointer, py = y.Pointer;
        ForElements(x.Count, (start, n) => ScaleChunk(px + start, factor, py + start, n));
    }

    public void AddRow(Tensor x, Tensor row)
    {
        float* px = x.Pointer, pr = row.Pointer;
        int columns = x.Columns;
        ForRows(x.Rows, columns, (_, first, end) =>
        {
            for (int r = first; r < end; r++) AddChunk(px + ((long)r * columns), pr, px + ((long)r * columns), columns);
        });
    }

    public void ColumnSums(Tensor x, Tensor sums, bool accumulate)
    {
        float* px = x.Pointer;
        int rows = x.Rows, columns = x.Columns, chunks = Chunks(rows, RowsPerChunk(rows, columns));
        using ScratchPool.Lease lease = _scratch.Rent((long)chunks * columns);
        float* partial = lease.Pointer;
        ForRows(rows, columns, (chunk, first, end) =>
        {
            float* mine = partial + ((long)chunk * columns);
            Clear(mine, columns);
            for (int r = first; r < end; r++) AddChunk(px + ((long)r * columns), mine, mine, columns);
        });
        SumPartials(partial, chunks, columns, sums.Pointer, accumulate);
    }

    public void EmbeddingForward(Tensor table, ReadOnlySpan<int> ids, Tensor y)
    {
        float* pt = table.Pointer, py = y.Pointer;
        int columns = table.Columns, rows = ids.Length;
        fixed (int* pinned = ids)
        {
            int* id = pinned;
            ForRows(rows, columns, (_, first, end) =>
            {
                for (int r = first; r < end; r++)
                {
                    new ReadOnlySpan<float>(pt + ((long)id[r] * columns), columns).CopyTo(new Span<float>(py + ((long)r * columns), columns));
                }
            });
        }
    }

    public void EmbeddingBackward(Tensor dy, ReadOnlySpan<int> ids, Tensor tableGradient)
    {
        // Ids may repeat, so the work is cut by columns.
        const int width = 128;
        float* pd = dy.Pointer, pt = tableGradient.Pointer;
        int columns = tableGradient.Columns, rows = ids.Length;
        fixed (int* pinned = ids)
        {
            int* id = pinned;
            pool.Run(Chunks(columns, width), chunk =>
            {
                int start = chunk * width, n = Math.Min(width, columns - start);
                for (int r = 0; r < rows; r++)
                {
                    float* target = pt + ((long)id[r] * columns) + start;
                    AddChunk(pd + ((long)r * columns) + start, target, target, n);
                }
            });
        }
    }

    private static void AddChunk(float* a, float* b, float* y, int n)
    {
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            (V.Load(a + j, left) + V.Load(b + j, left)).Store(y + j, left);
        }
    }

    private static void AddScaledChunk(float* x, float factor, float* y, int n)
    {
        V f = V.Create(factor);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            V.MultiplyAdd(f, V.Load(x + j, left), V.Load(y + j, left)).Store(y + j, left);
        }
    }

    private static void ScaleChunk(float* x, float factor, float* y, int n)
    {
        V f = V.Create(factor);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            (f * V.Load(x + j, left)).Store(y + j, left);
        }
    }
}
