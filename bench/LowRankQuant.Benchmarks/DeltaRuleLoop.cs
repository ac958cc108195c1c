using System.Numerics;
using System.Runtime.Intrinsics;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// The gated delta rule as it is written down: per token a loop over the rows of the state that lets them decay and adds up what is known, and a second one
/// that writes them and adds up the output. Every row is taken in the widest registers. One head per key head.
/// </summary>
internal static unsafe class DeltaRuleLoop
{
    public static void Run(DeltaRuleShape shape, DeltaRuleTerms terms, Tensor state, Tensor y)
    {
        int n = shape.KeySize, m = shape.ValueSize;
        float* query = stackalloc float[n];
        float* key = stackalloc float[n];
        float* known = stackalloc float[m];
        for (int head = 0; head < shape.Batch * shape.ValueHeads; head++)
        {
            float* s = state.Pointer + ((long)head * n * m);
            for (int t = 0; t < shape.Length; t++)
            {
                long row = ((((long)(head / shape.ValueHeads) * shape.Length) + t) * shape.ValueHeads) + (head % shape.ValueHeads);
                Normalize(terms.Q.Pointer + (row * n), n, 1 / MathF.Sqrt(n), query);
                Normalize(terms.K.Pointer + (row * n), n, 1, key);
                float* g = terms.LogDecay.Pointer + (row * (shape.ChannelDecay ? n : 1)), v = terms.V.Pointer + (row * m), output = y.Pointer + (row * m);
                float decay = MathF.Exp(*g), beta = terms.Beta.Pointer[row];
                new Span<float>(known, m).Clear();
                new Span<float>(output, m).Clear();
                for (int c = 0; c < n; c++) Read(s + (c * m), m, shape.ChannelDecay ? MathF.Exp(g[c]) : decay, key[c], known);
                for (int j = 0; j < m; j++) known[j] = beta * (v[j] - known[j]);
                for (int c = 0; c < n; c++) Write(s + (c * m), m, key[c], query[c], known, output);
            }
        }
    }

    private static void Read(float* row, int m, float decay, float key, float* known)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            Vector512<float> d = Vector512.Create(decay), k = Vector512.Create(key);
            for (int j = 0; j < m; j += 16)
            {
                Vector512<float> x = d * Vector512.Load(row + j);
                x.Store(row + j);
                Vector512.FusedMultiplyAdd(k, x, Vector512.Load(known + j)).Store(known + j);
            }
            return;
        }
        for (int j = 0; j < m; j += Vector<float>.Count)
        {
            Vector<float> x = decay * Vector.Load(row + j);
            Vector.Store(x, row + j);
            Vector.Store((key * x) + Vector.Load(known + j), known + j);
        }
    }

    private static void Write(float* row, int m, float key, float query, float* written, float* output)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            Vector512<float> k = Vector512.Create(key), q = Vector512.Create(query);
            for (int j = 0; j < m; j += 16)
            {
                Vector512<float> x = Vector512.FusedMultiplyAdd(k, Vector512.Load(written + j), Vector512.Load(row + j));
                x.Store(row + j);
                Vector512.FusedMultiplyAdd(q, x, Vector512.Load(output + j)).Store(output + j);
            }
            return;
        }
        for (int j = 0; j < m; j += Vector<float>.Count)
        {
            Vector<float> x = (key * Vector.Load(written + j)) + Vector.Load(row + j);
            Vector.Store(x, row + j);
            Vector.Store((query * x) + Vector.Load(output + j), output + j);
        }
    }

    private static void Normalize(float* x, int n, float factor, float* y)
    {
        float sum = DeltaRuleShape.Epsilon;
        for (int i = 0; i < n; i++) sum += x[i] * x[i];
        float scale = factor / MathF.Sqrt(sum);
        for (int i = 0; i < n; i++) y[i] = scale * x[i];
    }
}
