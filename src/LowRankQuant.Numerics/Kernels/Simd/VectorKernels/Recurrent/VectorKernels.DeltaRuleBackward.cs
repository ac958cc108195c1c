namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Gradient of the gated delta rule, chunk by chunk from the last one, each recomputed from the state S before it; G = dloss/dS after it. With the
/// matrices of the forward pass (A, P, L, R, u, w) and o = dy:
/// <code>
/// dw = P^T o + (R k^) G          du = dw + A^T dv          dv = beta du               an upper triangular solve
/// dbeta = du u                   dA = dv w^T               dP = o w^T
/// dq^ = L (o S^T) + ...          dk^ = -L (dv S^T) + R (w G^T) + ...                  and what dA and dP give
/// G before = e(chunk) G + (L q^)^T o - (L k^)^T dv
/// </code>
/// A decay up to token i is a factor of what i reads, one from j on divides what j writes: with q^ dq^, k^ dk^ split that way, the sum of log decays up to i
/// has the gradient q^ dq^ + k^ dk^ (read) - k^ dk^ (written), and g_i that of all sums from i on.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void DeltaRuleBackward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor states, Tensor dy, in DeltaRuleTerms gradients)
    {
        var s = new DeltaRuleSizes(shape, terms);
        var to = new DeltaRuleSizes(shape, gradients);
        float* kept = states.Pointer, slope = dy.Pointer;

        // The heads of a group read the same key: each leaves its part, and the parts are summed in the order of the heads.
        bool shared = s.Group > 1;
        long size = shared ? (long)shape.Rows * s.ValueHeads * s.KeySize : 0;
        using ScratchPool.Lease lease = _scratch.Rent(2 * size);
        float* queries = shared ? lease.Pointer : to.Query, keys = shared ? lease.Pointer + size : to.Key;
        pool.Run(s.Heads, head => DeltaRuleChunksBackward(s, head, kept, slope, queries, keys, to));
        NormalizeBackward(s, s.Query, s.QueryFactor, queries, to.Query);
        NormalizeBackward(s, s.Key, 1, keys, to.Key);
    }

    private void DeltaRuleChunksBackward(in DeltaRuleSizes s, int head, float* states, float* dy, float* queries, float* keyParts, in DeltaRuleSizes to)
    {
        const int square = DeltaRuleShape.Chunk;
        using ScratchPool.Lease lease = DeltaRuleMemory.Rent(_scratch, s, backward: true, out DeltaRuleMemory m);
        int keys = s.KeyPadded, values = s.ValuePadded, lines = s.StateStride, stride = s.ValueHeads * s.ValueSize;
        Clear(m.Gamma, (long)s.KeySize * lines);
        for (int chunk = s.Chunks - 1; chunk >= 0; chunk--)
        {
            int first = chunk * square, n = s.ChunkRows(chunk);
            long row = s.Row(head, first);
            PackRows(states + s.StateAt(head, chunk), s.KeySize, s.ValueSize, s.ValueSize, m.State, lines);
            PackRows(dy + (row * s.ValueSize), n, s.ValueSize, stride, m.Slope, values);
            PrepareChunk(s, m, head, first, n);
            SolveChunk(s, m, n);
            SmallProduct<V>.Multiply(n, values, n, m.Weights, 1, square, m.Slope, values, m.WrittenSlope, values, false, innerStart: 0);
            SmallProduct<V>.Multiply(n, values, s.KeySize, m.KeyRight, keys, 1, m.Gamma, lines, m.WrittenSlope, values, true);
            SolveTransposed(m, n, values);
            UnpackRows(m.ValueSlope, n, s.ValueSize, values, to.Value + (row * s.ValueSize), stride);
            for (int i = 0; i < n; i++) to.Beta[s.Row(head, first + i)] = Dot(m.WrittenSlope + (i * values), m.Unknown + (i * values), values);
            StateSlopes(s, m, n);
            PairSlopes(s, m, n);
            DecaySlopes(s, m, n, to.LogDecay + s.DecayAt(head, first));
            for (int i = 0; i < n; i++)
            {
                int at = i * keys;
                V diagonal = V.Create(m.Diagonal[i]);
                float* query = queries + (s.Row(head, first + i) * s.KeySize), key = keyParts + (s.Row(head, first + i) * s.KeySize);
                for (int c = 0; c < s.KeySize; c += V.Count)
                {
                    V.MultiplyAdd(diagonal, V.Load(m.Key + at + c), V.Load(m.QuerySlope + at + c)).Store(query + c, s.KeySize - c);
                    V both = V.Load(m.ReadSlope + at + c) + V.Load(m.WriteSlope + at + c);
                    V.MultiplyAdd(diagonal, V.Load(m.Query + at + c), both).Store(key + c, s.KeySize - c);
                }
            }
            for (int c = 0; c < s.KeySize; c++) ScaleChunk(m.Gamma + (c * lines), m.Decay[c], m.Gamma + (c * lines), values);
            SmallProduct<V>.Multiply(s.KeySize, values, n, m.QueryLeft, 1, keys, m.Slope, values, m.Gamma, lines, true);
            SmallProduct<V>.Multiply(s.KeySize, values, n, m.KeyLeft, 1, keys, m.ValueSlope, values, m.Gamma, lines, true);
        }
    }

    /// <summary>du and dv in the place of dw, from the last token on, eight at a time.</summary>
    private static void SolveTransposed(in DeltaRuleMemory m, int n, int values)
    {
        const int square = DeltaRuleShape.Chunk, step = 8;
        for (int start = (n - 1) / step * step; start >= 0; start -= step)
        {
            int rows = Math.Min(step, n - start), end = start + rows;
            float* written = m.WrittenSlope + (start * values), value = m.ValueSlope + (start * values);
            if (end < n)
            {
                SmallProduct<V>.Multiply(
                    rows, values, n - end, m.Scores + (end * square) + start, 1, square, m.ValueSlope + (end * values), values, written, values, true);
            }
            for (int j = rows - 1; j >= 0; j--)
            {
                for (int i = j + 1; i < rows; i++)
                {
                    AddScaledChunk(value + (i * values), m.Scores[((start + i) * square) + start + j], written + (j * values), values);
                }
                ScaleChunk(written + (j * values), m.Beta[start + j], value + (j * values), values);
            }
        }
    }

    /// <summary>What the states before and after the chunk give to q^ and k^, and to the decay over the whole of it.</summary>
    private static void StateSlopes(in DeltaRuleSizes s, in DeltaRuleMemory m, int n)
    {
        int keys = s.KeyPadded, values = s.ValuePadded, lines = s.StateStride, across = s.TransposedStride;
        if (s.KeySize < keys)
        {
            // The columns beyond the key are added up with the others, so they are zeros.
            Clear(m.StateTransposed, (long)s.ValueSize * across);
            Clear(m.GammaTransposed, (long)s.ValueSize * across);
        }
        Transposition.Transpose(m.State, lines, s.KeySize, s.ValueSize, m.StateTransposed, across);
        Transposition.Transpose(m.Gamma, lines, s.KeySize, s.ValueSize, m.GammaTransposed, across);
        SmallProduct<V>.Multiply(n, keys, s.ValueSize, m.Slope, values, 1, m.StateTransposed, across, m.QuerySlope, keys, false);
        SmallProduct<V>.Multiply(n, keys, s.ValueSize, m.ValueSlope, values, 1, m.StateTransposed, across, m.ReadSlope, keys, false);
        SmallProduct<V>.Multiply(n, keys, s.ValueSize, m.Written, values, 1, m.GammaTransposed, across, m.WriteSlope, keys, false);
        Clear(m.Last, keys);
        for (int c = 0; c < s.KeySize; c++) m.Last[c] = m.Decay[c] * Dot(m.State + (c * lines), m.Gamma + (c * lines), values);
        for (int i = 0; i < n; i++)
        {
            for (int c = 0; c < keys; c += V.Count)
            {
                int at = (i * keys) + c;
                V left = V.Load(m.Left + at), write = V.Load(m.Right + at) * V.Load(m.WriteSlope + at);
                (left * V.Load(m.QuerySlope + at)).Store(m.QuerySlope + at);
                (V.Zero - (left * V.Load(m.ReadSlope + at))).Store(m.ReadSlope + at);
                write.Store(m.WriteSlope + at);
                V.MultiplyAdd(V.Load(m.Key + at), write, V.Load(m.Last + c)).Store(m.Last + c);
            }
        }
    }

    /// <summary>What A and P give to q^ and k^, but for the diagonal of P, which no decay has part in.</summary>
    private static void PairSlopes(in DeltaRuleSizes s, in DeltaRuleMemory m, int n)
    {
        const int square = DeltaRuleShape.Chunk;
        int values = s.ValuePadded;
        Transposition.Transpose(m.Written, values, n, s.ValueSize, m.WrittenTransposed, square);
        SmallProduct<V>.Multiply(n, square, s.ValueSize, m.ValueSlope, values, 1, m.WrittenTransposed, square, m.ScoreSlope, square, false, columnLimit: 0);
        SmallProduct<V>.Multiply(n, square, s.ValueSize, m.Slope, values, 1, m.WrittenTransposed, square, m.WeightSlope, square, false, columnLimit: 0);
        for (int i = 0; i < n; i++) m.Diagonal[i] = m.WeightSlope[(i * square) + i];
        if (s.ChannelDecay) ChannelScoresBackward(s, m, n);
        else HeadScoresBackward(s, m, n);
    }

    /// <summary>dg: the gradients of the sums of log decays, added up from the last token of the chunk to the first.</summary>
    private static void DecaySlopes(in DeltaRuleSizes s, in DeltaRuleMemory m, int n, float* dg)
    {
        int keys = s.KeyPadded;
        double whole = 0;
        for (int c = 0; c < keys; c++) whole += m.Last[c];
        for (int i = n - 1; i >= 0; i--)
        {
            V sum = V.Zero;
            for (int c = 0; c < keys; c += V.Count)
            {
                int at = (i * keys) + c;
                V slope = V.Load(m.Query + at) * V.Load(m.QuerySlope + at);
                slope = V.MultiplyAdd(V.Load(m.Key + at), V.Load(m.ReadSlope + at) - V.Load(m.WriteSlope + at), slope);
                sum += slope;
                if (!s.ChannelDecay) continue;
                V all = V.Load(m.Last + c) + slope;
                all.Store(m.Last + c);
                all.Store(dg + ((long)i * s.ValueHeads * s.KeySize) + c, s.KeySize - c);
            }
            if (s.ChannelDecay) continue;
            whole += V.Sum(sum);
            dg[(long)i * s.ValueHeads] = (float)whole;
        }
    }

    /// <summary>Sums the gradients of a key's value heads and takes them through the normalization; parts may be dx.</summary>
    private void NormalizeBackward(DeltaRuleSizes s, float* x, float factor, float* parts, float* dx) =>
        ForRows(s.Batch * s.Length * s.KeyHeads, s.KeySize * s.Group, (_, first, end) =>
        {
            int n = s.KeySize;
            for (long r = first; r < end; r++)
            {
                float* source = x + (r * n), part = parts + (r * s.Group * n), target = dx + (r * n);
                float scale = InverseNorm(source, n);
                for (int c = 0; c < n; c += V.Count)
                {
                    V sum = V.Load(part + c, n - c);
                    for (int h = 1; h < s.Group; h++) sum += V.Load(part + (h * n) + c, n - c);
                    sum.Store(target + c, n - c);
                }
                V along = V.Create(scale * scale * Dot(source, target, n)), whole = V.Create(factor * scale);
                for (int c = 0; c < n; c += V.Count)
                {
                    (whole * (V.Load(target + c, n - c) - (along * V.Load(source + c, n - c)))).Store(target + c, n - c);
                }
            }
        });
}
