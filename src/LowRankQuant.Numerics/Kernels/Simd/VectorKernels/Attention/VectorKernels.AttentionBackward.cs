using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Gradient of attention. With P = e^(score - logSumExp), recomputed, and delta = rowsum(dy y):
/// dV = P' dy,  dS = P (dy V' - delta) scale (1 - tanh^2 with a cap),  dQ = dS K,  dK = dS' Q.
/// One query head of one sequence is a chunk; its dK and dV go to memory of its own and are then summed over the heads of a group in their order.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void AttentionBackward(
        in AttentionShape shape, in AttentionTerms terms, Tensor dy, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dq, Tensor dk, Tensor dv)
    {
        var s = new AttentionSizes(shape, terms);
        float* pk = k.Pointer, pv = v.Pointer, pdk = dk.Pointer, pdv = dv.Pointer;
        var rows = new AttentionRows(dy.Pointer, q.Pointer, y.Pointer, logSumExp.Pointer, dq.Pointer);
        int panels = s.Batch * s.KeyValueHeads * s.KeyBlocks;
        long keySums = (long)s.KeyBlocks * s.Panel, headSums = keySums + ((long)s.KeyBlocks * s.ValuePanel);
        using ScratchPool.Lease packed = _scratch.Rent((long)panels * (s.Panel + s.TransposedPanel + s.TransposedValuePanel));
        using ScratchPool.Lease partial = _scratch.Rent(s.Batch * s.Heads * headSums);
        var blocks = new AttentionPanels(packed.Pointer, panels, s);
        float* sums = partial.Pointer;
        pool.Run(panels, panel =>
        {
            Pack(s, panel, pk, s.HeadSize, blocks.Keys + ((long)panel * s.Panel));
            PackTransposed(s, panel, pk, s.HeadSize, blocks.KeysTransposed + ((long)panel * s.TransposedPanel));
            PackTransposed(s, panel, pv, s.ValueHeadSize, blocks.ValuesTransposed + ((long)panel * s.TransposedValuePanel));
        });
        pool.Run(s.Batch * s.Heads, chunk =>
        {
            float* dKeys = sums + (chunk * headSums);
            AttendBackward(s, chunk / s.Heads, chunk % s.Heads, rows, blocks, dKeys, dKeys + keySums);
        });
        pool.Run(panels, panel =>
        {
            int block = panel % s.KeyBlocks, head = panel / s.KeyBlocks % s.KeyValueHeads, batch = panel / s.KeyBlocks / s.KeyValueHeads;
            float* first = sums + ((((long)batch * s.Heads) + (head * s.Group)) * headSums);
            SumGroup(s, panel, first + ((long)block * s.Panel), headSums, s.HeadSize, pdk);
            SumGroup(s, panel, first + keySums + ((long)block * s.ValuePanel), headSums, s.ValueHeadSize, pdv);
        });
    }

    private void AttendBackward(
        in AttentionSizes s, int batch, int head, in AttentionRows rows, in AttentionPanels blocks, float* dKeys, float* dValues)
    {
        const int square = Block * Block;
        using ScratchPool.Lease lease = _scratch.Rent((2 * square) + (2 * s.Panel) + s.ValuePanel + (2 * Block));
        float* weights = lease.Pointer, slopes = weights + square, dQuery = slopes + square, query = dQuery + s.Panel, dOutput = query + s.Panel;
        float* shifts = dOutput + s.ValuePanel, deltas = shifts + Block;
        Clear(dKeys, (long)s.KeyBlocks * s.Panel);
        Clear(dValues, (long)s.KeyBlocks * s.ValuePanel);
        long panel0 = (long)((batch * s.KeyValueHeads) + (head / s.Group)) * s.KeyBlocks;
        for (int start = 0; start < s.QueryLength; start += Block)
        {
            int n = Math.Min(Block, s.QueryLength - start);
            long row0 = ((long)batch * s.QueryLength) + start, at = (row0 * s.Heads) + head;
            for (int i = 0; i < n; i++)
            {
                long row = at + ((long)i * s.Heads), from = row * s.ValueHeadSize;
                PackRow(rows.Query + (row * s.HeadSize), s.HeadSize, query + (i * s.Padded), s.Padded);
                PackRow(rows.OutputGradient + from, s.ValueHeadSize, dOutput + (i * s.ValuePadded), s.ValuePadded);
                shifts[i] = rows.LogSumExp[row];
                deltas[i] = Dot(rows.OutputGradient + from, rows.Output + from, s.ValueHeadSize);
            }
            new Span<float>(dQuery, n * s.Padded).Clear();
            (int firstBlock, int endBlock) = s.VisibleBlocks(start, n);
            for (int block = firstBlock; block < endBlock; block++)
            {
                float* keysTransposed = blocks.KeysTransposed + ((panel0 + block) * s.TransposedPanel);
                float* valuesTransposed = blocks.ValuesTransposed + ((panel0 + block) * s.TransposedValuePanel);
                float* keys = blocks.Keys + ((panel0 + block) * s.Panel);
                float* dKey = dKeys + ((long)block * s.Panel), dValue = dValues + ((long)block * s.ValuePanel);
                int last = s.LastKey(start, block);
                SmallProduct<V>.Multiply(
                    n, Block, s.HeadSize, query, s.Padded, 1, keysTransposed, Block, weights, Block, false, columnLimit: last);
                SmallProduct<V>.Multiply(
                    n, Block, s.ValueHeadSize, dOutput, s.ValuePadded, 1, valuesTransposed, Block, slopes, Block, false, columnLimit: last);
                SoftmaxBlockBackward(s, head, start, n, block, weights, slopes, shifts, deltas);
                SmallProduct<V>.Multiply(
                    Block, s.ValuePadded, n, weights, 1, Block, dOutput, s.ValuePadded, dValue, s.ValuePadded, true, innerStart: last);
                SmallProduct<V>.Multiply(
                    Block, s.Padded, n, slopes, 1, Block, query, s.Padded, dKey, s.Padded, true, innerStart: last);
                SmallProduct<V>.Multiply(
                    n, s.Padded, Block, slopes, Block, 1, keys, s.Padded, dQuery, s.Padded, true, innerLimit: last);
            }
            for (int i = 0; i < n; i++)
            {
                long to = (at + ((long)i * s.Heads)) * s.HeadSize;
                new ReadOnlySpan<float>(dQuery + (i * s.Padded), s.HeadSize).CopyTo(new Span<float>(rows.QueryGradient + to, s.HeadSize));
            }
        }
    }

    /// <summary>Scores become weights P; dy V' becomes dS. Keys that are not visible get zeros.</summary>
    private static void SoftmaxBlockBackward(
        in AttentionSizes s, int head, int start, int rows, int block, float* weights, float* slopes, float* shifts, float* deltas)
    {
        int left = s.KeyLength - (block * Block);
        float* bias = s.Bias(head, block);
        V factor = V.Create(s.Scale), indices = V.Indices;
        float cap = s.SoftCap;
        for (int i = 0; i < rows; i++)
        {
            (int low, int high) = s.VisibleKeys(start + i, block);
            float* x = weights + (i * Block), slope = slopes + (i * Block);
            V shift = V.Create(shifts[i]), delta = V.Create(deltas[i]), from = V.Create(low), to = V.Create(high);
            bool whole = low == 0 && high == Block;
            for (int j = 0; j < Block; j += V.Count)
            {
                V score = factor * V.Load(x + j), bend = factor;
                if (cap > 0)
                {
                    V t = SimdMath.Tanh(score / V.Create(cap));
                    score = V.Create(cap) * t;
                    bend = factor * (V.Create(1f) - (t * t));
                }
                if (bias != null && j < left) score += V.Load(bias + j, left - j);
                V weight = SimdMath.Exp(score - shift), d = (V.Load(slope + j) - delta) * bend;
                if (!whole)
                {
                    // Both are masked: what stands at hidden keys may be anything.
                    V index = indices + V.Create(j), seen = V.LessThanOrEqual(from, index) & V.LessThan(index, to);
                    weight &= seen;
                    d &= seen;
                }
                weight.Store(x + j);
                (weight * d).Store(slope + j);
            }
        }
    }

    /// <summary>Sums the packed gradients of the heads of a group into the rows of their key head.</summary>
    private static void SumGroup(in AttentionSizes s, int panel, float* first, long stride, int headSize, float* gradient)
    {
        int rows = s.KeyRows(panel, gradient, headSize, out float* target), padded = InRegisters(headSize);
        long targetStride = (long)s.KeyValueHeads * headSize;
        for (int r = 0; r < rows; r++)
        {
            for (int j = 0; j < headSize; j += V.Count)
            {
                float* source = first + (r * padded) + j;
                V sum = V.Load(source);
                for (int h = 1; h < s.Group; h++) sum += V.Load(source + (h * stride));
                sum.Store(target + (r * targetStride) + j, headSize - j);
            }
        }
    }

    private readonly struct AttentionRows(float* outputGradient, float* query, float* output, float* logSumExp, float* queryGradient)
    {
        public readonly float* OutputGradient = outputGradient;
        public readonly float* Query = query;
        public readonly float* Output = output;
        public readonly float* LogSumExp = logSumExp;
        public readonly float* QueryGradient = queryGradient;
    }

    private readonly struct AttentionPanels(float* memory, long panels, in AttentionSizes s)
    {
        public readonly float* Keys = memory;
        public readonly float* KeysTransposed = memory + (panels * s.Panel);
        public readonly float* ValuesTransposed = memory + (panels * (s.Panel + s.TransposedPanel));
    }
}
