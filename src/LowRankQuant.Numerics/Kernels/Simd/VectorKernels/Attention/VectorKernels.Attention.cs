using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Attention block by block (FlashAttention, arXiv 2205.14135 and 2307.08691): the largest score and the denominator of every query row are kept
/// up to date over blocks of keys, blocks that no query of a block sees are left out. Keys and values are packed once into blocks, zero beyond the
/// last key. A block of queries of one head is one chunk of work.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>Queries and keys of one block.</summary>
    private const int Block = 64;

    /// <summary>With fewer queries than this, packing the keys would cost more than it saves.</summary>
    private const int FewQueries = 8;

    /// <summary>How far a score may exceed the peak that exponentials are taken from: e^8 keeps sums far from the ends of the range.</summary>
    private const float Headroom = 8;

    public void AttentionForward(in AttentionShape shape, in AttentionTerms terms, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        var s = new AttentionSizes(shape, terms);
        float* pq = q.Pointer, pk = k.Pointer, pv = v.Pointer, py = y.Pointer, pl = logSumExp.Pointer;
        if (s.QueryLength < FewQueries)
        {
            pool.Run(s.Batch * s.Heads, chunk => AttendFew(s, chunk / s.Heads, chunk % s.Heads, pq, pk, pv, py, pl));
            return;
        }
        int panels = s.Batch * s.KeyValueHeads * s.KeyBlocks;
        using ScratchPool.Lease keyLease = _scratch.Rent((long)panels * s.TransposedPanel), valueLease = _scratch.Rent((long)panels * s.ValuePanel);
        float* keys = keyLease.Pointer, values = valueLease.Pointer;
        pool.Run(panels, panel =>
        {
            PackTransposed(s, panel, pk, s.HeadSize, keys + ((long)panel * s.TransposedPanel));
            Pack(s, panel, pv, s.ValueHeadSize, values + ((long)panel * s.ValuePanel));
        });

        // The last blocks of queries see the most keys; beginning with them evens out the threads.
        int perBlock = s.Batch * s.Heads;
        pool.Run(perBlock * s.QueryBlocks, chunk =>
        {
            int head = chunk % perBlock;
            AttendBlock(s, head / s.Heads, head % s.Heads, s.QueryBlocks - 1 - (chunk / perBlock), pq, keys, values, py, pl);
        });
    }

    private void AttendBlock(
        in AttentionSizes s, int batch, int head, int queryBlock, float* q, float* keys, float* values, float* y, float* logSumExp)
    {
        using ScratchPool.Lease lease = _scratch.Rent((Block * Block) + s.ValuePanel + (Block * V.Count) + Block);
        float* scores = lease.Pointer, output = scores + (Block * Block), totals = output + s.ValuePanel, peaks = totals + (Block * V.Count);
        int start = queryBlock * Block, rows = Math.Min(Block, s.QueryLength - start);
        long row0 = ((long)batch * s.QueryLength) + start;
        float* query = q + (((row0 * s.Heads) + head) * s.HeadSize);
        new Span<float>(output, rows * s.ValuePadded).Clear();
        new Span<float>(totals, rows * V.Count).Clear();
        new Span<float>(peaks, rows).Fill(float.NegativeInfinity);
        if (s.Sinks != null)
        {
            // A sink is a key whose score is known and whose value is zero: e^(score - peak) is one where it is the peak.
            new Span<float>(peaks, rows).Fill(s.Sinks[head]);
            for (int i = 0; i < rows; i++) totals[i * V.Count] = 1;
        }
        long panel0 = (long)((batch * s.KeyValueHeads) + (head / s.Group)) * s.KeyBlocks;
        (int firstBlock, int endBlock) = s.VisibleBlocks(start, rows);
        for (int block = firstBlock; block < endBlock; block++)
        {
            float* keyPanel = keys + ((panel0 + block) * s.TransposedPanel), valuePanel = values + ((panel0 + block) * s.ValuePanel);
            int last = s.LastKey(start, block);
            SmallProduct<V>.Multiply(rows, Block, s.HeadSize, query, s.QueryStride, 1, keyPanel, Block, scores, Block, false, columnLimit: last);
            SoftmaxBlock(s, head, start, rows, block, scores, peaks, totals, output);
            SmallProduct<V>.Multiply(
                rows, s.ValuePadded, Block, scores, Block, 1, valuePanel, s.ValuePadded, output, s.ValuePadded, true, innerLimit: last);
        }
        for (int i = 0; i < rows; i++)
        {
            long at = ((row0 + i) * s.Heads) + head;
            float total = V.Sum(V.Load(totals + (i * V.Count)));
            ScaleChunk(output + (i * s.ValuePadded), 1 / total, y + (at * s.ValueHeadSize), s.ValueHeadSize);
            logSumExp[at] = (float)(peaks[i] + Math.Log(total));
        }
    }

    /// <summary>
    /// Turns the scores of a block into e^(score - peak), zero for hidden keys, and adds them to the totals of each row (one per lane). A row's peak
    /// is raised only when a score exceeds it by more than <see cref="Headroom"/>; what the row has summed then shrinks.
    /// </summary>
    private static void SoftmaxBlock(
        in AttentionSizes s, int head, int start, int rows, int block, float* scores, float* peaks, float* totals, float* output)
    {
        int left = s.KeyLength - (block * Block);
        float* bias = s.Bias(head, block);
        V factor = V.Create(s.Scale), indices = V.Indices, hidden = V.Create(float.NegativeInfinity);
        float cap = s.SoftCap;
        for (int i = 0; i < rows; i++)
        {
            (int low, int high) = s.VisibleKeys(start + i, block);
            float* x = scores + (i * Block);
            if (low >= high)
            {
                new Span<float>(x, Block).Clear();
                continue;
            }
            V largest = hidden, from = V.Create(low), to = V.Create(high);
            bool whole = low == 0 && high == Block;
            for (int j = 0; j < Block; j += V.Count)
            {
                V value = factor * V.Load(x + j);
                if (cap > 0) value = V.Create(cap) * SimdMath.Tanh(value / V.Create(cap));
                if (bias != null && j < left) value += V.Load(bias + j, left - j);
                if (!whole)
                {
                    V index = indices + V.Create(j);
                    value = V.Select(V.LessThanOrEqual(from, index) & V.LessThan(index, to), value, hidden);
                }
                largest = V.Max(largest, value);
                value.Store(x + j);
            }
            float peak = peaks[i];
            if (V.AnyLessThan(V.Create(peak + Headroom), largest))
            {
                float raised = V.Largest(largest), shrink = MathF.Exp(peak - raised);
                ScaleChunk(output + (i * s.ValuePadded), shrink, output + (i * s.ValuePadded), s.ValuePadded);
                ScaleChunk(totals + (i * V.Count), shrink, totals + (i * V.Count), V.Count);
                peaks[i] = peak = raised;
            }
            V shift = V.Create(peak), total = V.Load(totals + (i * V.Count));
            for (int j = 0; j < Block; j += V.Count)
            {
                V e = SimdMath.Exp(V.Load(x + j) - shift);
                total += e;
                e.Store(x + j);
            }
            total.Store(totals + (i * V.Count));
        }
    }

    /// <summary>All queries of one head, key by key, for a step of generation.</summary>
    private void AttendFew(in AttentionSizes s, int batch, int head, float* q, float* k, float* v, float* y, float* logSumExp)
    {
        using ScratchPool.Lease lease = _scratch.Rent(s.KeyLength + s.ValueHeadSize);
        float* scores = lease.Pointer, output = scores + s.KeyLength;
        long keyRow = (long)batch * s.KeyLength;
        int keyHead = head / s.Group;
        for (int i = 0; i < s.QueryLength; i++)
        {
            long at = ((((long)batch * s.QueryLength) + i) * s.Heads) + head;
            int end = i + s.Offset + 1, first = s.FirstKey(end - 1), n = end - first;
            float* query = q + (at * s.HeadSize);
            float* key = k + ((keyRow + first) * s.KeyStride) + (keyHead * s.HeadSize);
            float* value = v + ((keyRow + first) * s.ValueStride) + (keyHead * s.ValueHeadSize);
            DotRows(query, key, s.KeyStride, n, s.HeadSize, s.Scale, scores);
            if (s.SoftCap > 0) CapChunk(scores, s.SoftCap, n);
            if (s.KeyBias != null) AddChunk(scores, s.Bias(head, 0) + first, scores, n);
            double total = LogSumExp(scores, n, out int _);
            if (s.Sinks != null) total = Math.Max(total, s.Sinks[head]) + Math.Log(1 + Math.Exp(-Math.Abs(total - s.Sinks[head])));
            SoftmaxRow(scores, (float)total, 1, scores, n);
            new Span<float>(output, s.ValueHeadSize).Clear();
            AddScaledRows(scores, value, s.ValueStride, n, s.ValueHeadSize, output);
            new ReadOnlySpan<float>(output, s.ValueHeadSize).CopyTo(new Span<float>(y + (at * s.ValueHeadSize), s.ValueHeadSize));
            logSumExp[at] = (float)total;
        }
    }

    /// <summary>y[r] = scale * (x . rows[r]); four rows at a time, whose sums do not wait for each other.</summary>
    private static void DotRows(float* x, float* rows, int stride, int count, int n, float scale, float* y)
    {
        int r = 0;
        for (; r <= count - 4; r += 4)
        {
            float* row0 = rows + ((long)r * stride), row1 = row0 + stride, row2 = row1 + stride, row3 = row2 + stride;
            V sum0 = V.Zero, sum1 = V.Zero, sum2 = V.Zero, sum3 = V.Zero;
            for (int j = 0; j < n; j += V.Count)
            {
                int left = n - j;
                V value = V.Load(x + j, left);
                sum0 = V.MultiplyAdd(value, V.Load(row0 + j, left), sum0);
                sum1 = V.MultiplyAdd(value, V.Load(row1 + j, left), sum1);
                sum2 = V.MultiplyAdd(value, V.Load(row2 + j, left), sum2);
                sum3 = V.MultiplyAdd(value, V.Load(row3 + j, left), sum3);
            }
            y[r] = scale * V.Sum(sum0);
            y[r + 1] = scale * V.Sum(sum1);
            y[r + 2] = scale * V.Sum(sum2);
            y[r + 3] = scale * V.Sum(sum3);
        }
        for (; r < count; r++) y[r] = scale * Dot(x, rows + ((long)r * stride), n);
    }

    /// <summary>y += sum of factors[r] rows[r].</summary>
    private static void AddScaledRows(float* factors, float* rows, int stride, int count, int n, float* y)
    {
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j, r = 0;
            float* row = rows + j;
            V even = V.Load(y + j, left), odd = V.Zero;
            for (; r <= count - 2; r += 2, row += 2 * stride)
            {
                even = V.MultiplyAdd(V.Create(factors[r]), V.Load(row, left), even);
                odd = V.MultiplyAdd(V.Create(factors[r + 1]), V.Load(row + stride, left), odd);
            }
            if (r < count) even = V.MultiplyAdd(V.Create(factors[r]), V.Load(row, left), even);
            (even + odd).Store(y + j, left);
        }
    }

    private static float Dot(float* a, float* b, int n)
    {
        V sum = V.Zero;
        for (int j = 0; j < n; j += V.Count) sum = V.MultiplyAdd(V.Load(a + j, n - j), V.Load(b + j, n - j), sum);
        return V.Sum(sum);
    }

    private static void CapChunk(float* x, float cap, int n)
    {
        V c = V.Create(cap);
        for (int j = 0; j < n; j += V.Count) (c * SimdMath.Tanh(V.Load(x + j, n - j) / c)).Store(x + j, n - j);
    }
}
