namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// The gated delta rule over a chunk of tokens i, j at once. With e(j, i) the decay from after token j to token i, S the state before the chunk and L, R
/// the decays up to a token and from it to the end, per channel:
/// <code>
/// A[i, j] = -sum_c k^_ic k^_jc e_c(j, i) for j below i      P[i, j] = sum_c q^_ic k^_jc e_c(j, i) for j up to i
/// u = v - (L k^) S + A w,  w = beta u                       a unit lower triangular solve
/// y = (L q^) S + P w                                        S after = e(chunk) S + (R k^)^T w
/// </code>
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    private void DeltaRuleChunks(in DeltaRuleSizes s, int head, float* start, float* y, float* end, float* states)
    {
        const int square = DeltaRuleShape.Chunk;
        using ScratchPool.Lease lease = DeltaRuleMemory.Rent(_scratch, s, backward: false, out DeltaRuleMemory m);
        int keys = s.KeyPadded, values = s.ValuePadded, lines = s.StateStride;
        if (start == null) Clear(m.State, (long)s.KeySize * lines);
        else PackRows(start + s.StateAt(head), s.KeySize, s.ValueSize, s.ValueSize, m.State, lines);
        for (int chunk = 0; chunk < s.Chunks; chunk++)
        {
            int first = chunk * DeltaRuleShape.Chunk, n = s.ChunkRows(chunk);
            if (states != null) UnpackRows(m.State, s.KeySize, s.ValueSize, lines, states + s.StateAt(head, chunk), s.ValueSize);
            PrepareChunk(s, m, head, first, n);
            SolveChunk(s, m, n);
            SmallProduct<V>.Multiply(n, values, s.KeySize, m.QueryLeft, keys, 1, m.State, lines, m.Output, values, false);
            SmallProduct<V>.Multiply(n, values, n, m.Weights, square, 1, m.Written, values, m.Output, values, true, innerLimit: 0);
            UnpackRows(m.Output, n, s.ValueSize, values, y + (s.Row(head, first) * s.ValueSize), s.ValueHeads * s.ValueSize);
            for (int c = 0; c < s.KeySize; c++) ScaleChunk(m.State + (c * lines), m.Decay[c], m.State + (c * lines), values);
            SmallProduct<V>.Multiply(s.KeySize, values, n, m.KeyRight, 1, keys, m.Written, values, m.State, lines, true);
        }
        if (end != null) UnpackRows(m.State, s.KeySize, s.ValueSize, lines, end + s.StateAt(head), s.ValueSize);
    }

    /// <summary>Normalised rows, decays, the matrices of pairs A and P, and v in the place of u.</summary>
    private static void PrepareChunk(in DeltaRuleSizes s, in DeltaRuleMemory m, int head, int first, int n)
    {
        int keys = s.KeyPadded, stride = s.KeyHeads * s.KeySize;
        float* query = s.Query + s.KeyAt(head, first), key = s.Key + s.KeyAt(head, first);
        for (int i = 0; i < n; i++)
        {
            NormalizeRow(query + ((long)i * stride), s.KeySize, s.QueryFactor, m.Query + (i * keys), keys);
            NormalizeRow(key + ((long)i * stride), s.KeySize, 1, m.Key + (i * keys), keys);
            m.Beta[i] = s.Beta[s.Row(head, first + i)];
        }
        PackRows(s.Value + (s.Row(head, first) * s.ValueSize), n, s.ValueSize, s.ValueHeads * s.ValueSize, m.Unknown, s.ValuePadded);
        if (s.ChannelDecay)
        {
            ChannelDecays(s, m, head, first, n);
            ChannelScores(s, m, n);
        }
        else
        {
            HeadDecays(s, m, head, first, n);
            HeadScores(s, m, n);
        }
        for (int j = 0; j < n * keys; j += V.Count)
        {
            V left = V.Load(m.Left + j), k = V.Load(m.Key + j);
            (left * V.Load(m.Query + j)).Store(m.QueryLeft + j);
            (V.Zero - (left * k)).Store(m.KeyLeft + j);
            (V.Load(m.Right + j) * k).Store(m.KeyRight + j);
        }
    }

    /// <summary>u and w, eight tokens at a time: what earlier ones wrote is a product, within the eight it is row after row.</summary>
    private static void SolveChunk(in DeltaRuleSizes s, in DeltaRuleMemory m, int n)
    {
        const int square = DeltaRuleShape.Chunk, step = 8;
        int values = s.ValuePadded;
        SmallProduct<V>.Multiply(n, values, s.KeySize, m.KeyLeft, s.KeyPadded, 1, m.State, s.StateStride, m.Unknown, values, true);
        for (int start = 0; start < n; start += step)
        {
            int rows = Math.Min(step, n - start);
            float* unknown = m.Unknown + (start * values), written = m.Written + (start * values), scores = m.Scores + (start * square);
            SmallProduct<V>.Multiply(rows, values, start, scores, square, 1, m.Written, values, unknown, values, true);
            for (int i = 0; i < rows; i++)
            {
                for (int j = 0; j < i; j++) AddScaledChunk(written + (j * values), scores[(i * square) + start + j], unknown + (i * values), values);
                ScaleChunk(unknown + (i * values), m.Beta[start + i], written + (i * values), values);
            }
        }
    }

    private static void PackRows(float* source, int rows, int n, int stride, float* packed, int padded)
    {
        for (int r = 0; r < rows; r++) PackRow(source + ((long)r * stride), n, packed + (r * padded), padded);
    }

    private static void UnpackRows(float* packed, int rows, int n, int padded, float* target, int stride)
    {
        for (int r = 0; r < rows; r++) new ReadOnlySpan<float>(packed + (r * padded), n).CopyTo(new Span<float>(target + ((long)r * stride), n));
    }
}
