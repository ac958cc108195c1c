using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// The gated delta rule: in chunks, or, for the few tokens of a step of generation, token after token. A value head of a sequence is one chunk of
/// work for the pool.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>Up to so many tokens are taken one after the other: the products of a chunk would have few rows.</summary>
    private const int FewTokens = 8;

    public void DeltaRuleForward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor? start, Tensor y, Tensor? end, Tensor? states)
    {
        var s = new DeltaRuleSizes(shape, terms);
        float* from = start is null ? null : start.Pointer, output = y.Pointer, to = end is null ? null : end.Pointer, kept = states is null ? null : states.Pointer;
        pool.Run(s.Heads, head =>
        {
            if (s.Length <= FewTokens) DeltaRuleTokens(s, head, from, output, to, kept);
            else DeltaRuleChunks(s, head, from, output, to, kept);
        });
    }

    private void DeltaRuleTokens(in DeltaRuleSizes s, int head, float* start, float* y, float* end, float* states)
    {
        int n = s.KeySize, m = s.ValueSize, size = n * m, padded = s.KeyPadded;
        using ScratchPool.Lease lease = _scratch.Rent((5L * padded) + s.ValuePadded + (end == null ? size : 0));
        float* query = lease.Pointer, key = query + padded, decayedQuery = key + padded, decayedKey = decayedQuery + padded, decay = decayedKey + padded;
        float* written = decay + padded, state = end == null ? written + s.ValuePadded : end + s.StateAt(head);
        if (start == null) Clear(state, size);
        else if (start != end) new ReadOnlySpan<float>(start + s.StateAt(head), size).CopyTo(new Span<float>(state, size));
        if (states != null) new ReadOnlySpan<float>(state, size).CopyTo(new Span<float>(states + s.StateAt(head, 0), size));
        for (int t = 0; t < s.Length; t++)
        {
            long row = s.Row(head, t);
            NormalizeRow(s.Query + s.KeyAt(head, t), n, s.QueryFactor, query, padded);
            NormalizeRow(s.Key + s.KeyAt(head, t), n, 1, key, padded);
            float* g = s.LogDecay + s.DecayAt(head, t);
            V common = s.ChannelDecay ? V.Zero : SimdMath.Exp(V.Create(*g));
            for (int c = 0; c < padded; c += V.Count)
            {
                V factor = s.ChannelDecay ? SimdMath.Exp(V.Load(g + c, n - c)) : common;
                factor.Store(decay + c);
                (factor * V.Load(query + c)).Store(decayedQuery + c);
                (factor * V.Load(key + c)).Store(decayedKey + c);
            }
            float beta = s.Beta[row], both = Dot(query, key, n);
            float* value = s.Value + (row * m), output = y + (row * m);
            int j = 0;
            for (; j <= m - (4 * V.Count); j += 4 * V.Count) ReadState4(state + j, m, n, decayedKey, decayedQuery, value + j, beta, both, written + j, output + j);
            for (; j < m; j += V.Count) ReadState(state + j, m, m - j, n, decayedKey, decayedQuery, value + j, beta, both, written + j, output + j);
            for (int c = 0; c < n; c++)
            {
                float* line = state + (c * m);
                V factor = V.Create(decay[c]), k = V.Create(key[c]);
                for (j = 0; j < m; j += V.Count) V.MultiplyAdd(k, V.Load(written + j), factor * V.Load(line + j, m - j)).Store(line + j, m - j);
            }
        }
    }

    /// <summary>
    /// For the columns of four registers: what is written, w = beta (v - D^T k^), and y = S^T q^ = D^T q^ + (q^ k^) w, in one pass over the state
    /// before it is written.
    /// </summary>
    private static void ReadState4(
        float* state, int stride, int n, float* decayedKey, float* decayedQuery, float* value, float beta, float both, float* written, float* output)
    {
        V k0 = V.Zero, k1 = V.Zero, k2 = V.Zero, k3 = V.Zero, q0 = V.Zero, q1 = V.Zero, q2 = V.Zero, q3 = V.Zero;
        for (int c = 0; c < n; c++, state += stride)
        {
            V s0 = V.Load(state), s1 = V.Load(state + V.Count), s2 = V.Load(state + (2 * V.Count)), s3 = V.Load(state + (3 * V.Count));
            V k = V.Create(decayedKey[c]), q = V.Create(decayedQuery[c]);
            k0 = V.MultiplyAdd(k, s0, k0);
            k1 = V.MultiplyAdd(k, s1, k1);
            k2 = V.MultiplyAdd(k, s2, k2);
            k3 = V.MultiplyAdd(k, s3, k3);
            q0 = V.MultiplyAdd(q, s0, q0);
            q1 = V.MultiplyAdd(q, s1, q1);
            q2 = V.MultiplyAdd(q, s2, q2);
            q3 = V.MultiplyAdd(q, s3, q3);
        }
        FinishRead(0, V.Count, k0, q0, value, beta, both, written, output);
        FinishRead(V.Count, V.Count, k1, q1, value, beta, both, written, output);
        FinishRead(2 * V.Count, V.Count, k2, q2, value, beta, both, written, output);
        FinishRead(3 * V.Count, V.Count, k3, q3, value, beta, both, written, output);
    }

    /// <summary>The same for the columns of one register, of which <paramref name="left"/> are there.</summary>
    private static void ReadState(
        float* state, int stride, int left, int n, float* decayedKey, float* decayedQuery, float* value, float beta, float both, float* written, float* output)
    {
        V known = V.Zero, read = V.Zero;
        for (int c = 0; c < n; c++, state += stride)
        {
            V s = V.Load(state, left);
            known = V.MultiplyAdd(V.Create(decayedKey[c]), s, known);
            read = V.MultiplyAdd(V.Create(decayedQuery[c]), s, read);
        }
        FinishRead(0, left, known, read, value, beta, both, written, output);
    }

    private static void FinishRead(int j, int left, V known, V read, float* value, float beta, float both, float* written, float* output)
    {
        V w = V.Create(beta) * (V.Load(value + j, left) - known);
        w.Store(written + j);
        V.MultiplyAdd(V.Create(both), w, read).Store(output + j, left);
    }

    /// <summary>y = factor x / sqrt(sum x^2 + 1e-6), zeros up to the padded size.</summary>
    private static void NormalizeRow(float* x, int n, float factor, float* y, int padded)
    {
        V scale = V.Create(factor * InverseNorm(x, n));
        for (int c = 0; c < padded; c += V.Count) (scale * V.Load(x + c, n - c)).Store(y + c);
    }

    private static float InverseNorm(float* x, int n) => 1 / MathF.Sqrt(Dot(x, x, n) + DeltaRuleShape.Epsilon);
}
