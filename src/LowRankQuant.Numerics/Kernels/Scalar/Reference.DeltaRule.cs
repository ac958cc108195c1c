using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// The gated delta rule token after token (see <see cref="DeltaRuleShape"/>), and backwards from the last token, G = dloss/dS after it:
/// <code>
/// G += q^ dy^T         dq^ = S dy
/// dbeta = k^ G u       du = beta G^T k^       dv = du       dk^ = beta G u - D du
/// dD = G - k^ du^T     dg = sum of dD D, by rows with a decay per channel                  G = e^g dD
/// dx = s (dn - n (n dn)) with n = s x, s = 1 / sqrt(sum x^2 + 1e-6), and dn = dk^ or dq^ / sqrt(KeySize)
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void DeltaRuleForward<T>(
        in DeltaRuleShape shape, ReadOnlySpan<T> q, ReadOnlySpan<T> k, ReadOnlySpan<T> v, ReadOnlySpan<T> g, ReadOnlySpan<T> beta,
        ReadOnlySpan<T> start, Span<T> y, Span<T> end, Span<T> states)
        where T : IFloatingPointIeee754<T>
    {
        int n = shape.KeySize, m = shape.ValueSize;
        T[] state = new T[n * m], query = new T[n], key = new T[n], unknown = new T[m];
        for (int head = 0; head < shape.Batch * shape.ValueHeads; head++)
        {
            if (start.IsEmpty) Array.Clear(state);
            else start.Slice(head * n * m, n * m).CopyTo(state);
            for (int t = 0; t < shape.Length; t++)
            {
                if (t % DeltaRuleShape.Chunk == 0 && !states.IsEmpty) state.CopyTo(states.Slice(StateBefore(shape, head, t), n * m));
                (int row, int keyAt) = DeltaRuleRow(shape, head, t);
                Normalize(k.Slice(keyAt, n), T.One, key);
                Normalize(q.Slice(keyAt, n), QueryFactor<T>(shape), query);
                Decay(shape, g, row, state);
                WriteState(v.Slice(row * m, m), beta[row], key, state, unknown);
                Span<T> output = y.Slice(row * m, m);
                output.Clear();
                for (int i = 0; i < n * m; i++) output[i % m] += state[i] * query[i / m];
            }
            if (!end.IsEmpty) state.CopyTo(end.Slice(head * n * m, n * m));
        }
    }

    public static void DeltaRuleBackward<T>(
        in DeltaRuleShape shape, ReadOnlySpan<T> q, ReadOnlySpan<T> k, ReadOnlySpan<T> v, ReadOnlySpan<T> g, ReadOnlySpan<T> beta,
        ReadOnlySpan<T> states, ReadOnlySpan<T> dy, Span<T> dq, Span<T> dk, Span<T> dv, Span<T> dg, Span<T> dBeta)
        where T : IFloatingPointIeee754<T>
    {
        int n = shape.KeySize, m = shape.ValueSize, size = n * m;
        T[] decayed = new T[DeltaRuleShape.Chunk * size], after = new T[DeltaRuleShape.Chunk * size], gamma = new T[size];
        T[] query = new T[n], key = new T[n], dQuery = new T[n], dKey = new T[n], unknown = new T[DeltaRuleShape.Chunk * m], du = new T[m];
        dq.Clear();
        dk.Clear();
        for (int head = 0; head < shape.Batch * shape.ValueHeads; head++)
        {
            Array.Clear(gamma);
            for (int chunk = shape.Chunks - 1; chunk >= 0; chunk--)
            {
                int first = chunk * DeltaRuleShape.Chunk, count = Math.Min(DeltaRuleShape.Chunk, shape.Length - first);
                ReadOnlySpan<T> before = states.Slice(StateBefore(shape, head, first), size);
                for (int i = 0; i < count; i++)
                {
                    (int row, int keyAt) = DeltaRuleRow(shape, head, first + i);
                    Span<T> here = after.AsSpan(i * size, size);
                    before.CopyTo(here);
                    Normalize(k.Slice(keyAt, n), T.One, key);
                    Decay(shape, g, row, here);
                    here.CopyTo(decayed.AsSpan(i * size));
                    WriteState(v.Slice(row * m, m), beta[row], key, here, unknown.AsSpan(i * m, m));
                    before = here;
                }
                for (int i = count - 1; i >= 0; i--)
                {
                    (int row, int keyAt) = DeltaRuleRow(shape, head, first + i);
                    T keyScale = Normalize(k.Slice(keyAt, n), T.One, key), queryScale = Normalize(q.Slice(keyAt, n), QueryFactor<T>(shape), query);
                    ReadOnlySpan<T> slope = dy.Slice(row * m, m), u = unknown.AsSpan(i * m, m), d = decayed.AsSpan(i * size, size), s = after.AsSpan(i * size, size);
                    Array.Clear(du);
                    for (int e = 0; e < size; e++)
                    {
                        gamma[e] += query[e / m] * slope[e % m];
                        du[e % m] += beta[row] * gamma[e] * key[e / m];
                    }
                    T slopeOfBeta = T.Zero;
                    for (int c = 0; c < n; c++)
                    {
                        T gu = Dot(gamma.AsSpan(c * m, m), u);
                        slopeOfBeta += key[c] * gu;
                        dQuery[c] = Dot(s.Slice(c * m, m), slope);
                        dKey[c] = (beta[row] * gu) - Dot(d.Slice(c * m, m), du);
                    }
                    dBeta[row] = slopeOfBeta;
                    du.CopyTo(dv.Slice(row * m, m));
                    DecayBackward(shape, g, row, key, du, d, gamma, dg);
                    NormalizeBackward(k.Slice(keyAt, n), keyScale, T.One, dKey, dk.Slice(keyAt, n));
                    NormalizeBackward(q.Slice(keyAt, n), queryScale, QueryFactor<T>(shape), dQuery, dq.Slice(keyAt, n));
                }
            }
        }
    }

    /// <summary>First element of the kept state before token t of a head [batch, value head].</summary>
    private static int StateBefore(in DeltaRuleShape shape, int head, int t)
    {
        int batch = head / shape.ValueHeads, chunk = t / DeltaRuleShape.Chunk;
        return ((((batch * shape.Chunks) + chunk) * shape.ValueHeads) + (head % shape.ValueHeads)) * shape.KeySize * shape.ValueSize;
    }

    /// <summary>Row [batch, token, value head] of values, and the first element of the key.</summary>
    private static (int Row, int Key) DeltaRuleRow(in DeltaRuleShape shape, int head, int t)
    {
        int valueHead = head % shape.ValueHeads, row = (head / shape.ValueHeads * shape.Length) + t;
        return ((row * shape.ValueHeads) + valueHead, ((row * shape.KeyHeads) + (valueHead / (shape.ValueHeads / shape.KeyHeads))) * shape.KeySize);
    }

    private static T QueryFactor<T>(in DeltaRuleShape shape)
        where T : IFloatingPointIeee754<T> => T.One / T.Sqrt(T.CreateChecked(shape.KeySize));

    /// <summary>y = factor s x; returns s = 1 / sqrt(sum x^2 + 1e-6).</summary>
    private static T Normalize<T>(ReadOnlySpan<T> x, T factor, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        T scale = T.One / T.Sqrt(Dot(x, x) + T.CreateChecked(DeltaRuleShape.Epsilon));
        for (int i = 0; i < x.Length; i++) y[i] = factor * scale * x[i];
        return scale;
    }

    /// <summary>dx += what dy of <see cref="Normalize"/> gives.</summary>
    private static void NormalizeBackward<T>(ReadOnlySpan<T> x, T scale, T factor, ReadOnlySpan<T> dy, Span<T> dx)
        where T : IFloatingPointIeee754<T>
    {
        T along = scale * scale * Dot(x, dy);
        for (int i = 0; i < x.Length; i++) dx[i] += factor * scale * (dy[i] - (along * x[i]));
    }

    private static void Decay<T>(in DeltaRuleShape shape, ReadOnlySpan<T> g, int row, Span<T> state)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < state.Length; i++) state[i] *= T.Exp(LogDecay(shape, g, row, i / shape.ValueSize));
    }

    private static T LogDecay<T>(in DeltaRuleShape shape, ReadOnlySpan<T> g, int row, int channel) =>
        shape.ChannelDecay ? g[(row * shape.KeySize) + channel] : g[row];

    /// <summary>u = v - S^T k, S += beta k u^T, for a state that has decayed.</summary>
    private static void WriteState<T>(ReadOnlySpan<T> v, T beta, ReadOnlySpan<T> key, Span<T> state, Span<T> unknown)
        where T : IFloatingPointIeee754<T>
    {
        int m = v.Length;
        v.CopyTo(unknown);
        for (int i = 0; i < state.Length; i++) unknown[i % m] -= state[i] * key[i / m];
        for (int i = 0; i < state.Length; i++) state[i] += beta * key[i / m] * unknown[i % m];
    }

    private static void DecayBackward<T>(
        in DeltaRuleShape shape, ReadOnlySpan<T> g, int row, ReadOnlySpan<T> key, ReadOnlySpan<T> du, ReadOnlySpan<T> decayed, Span<T> gamma, Span<T> dg)
        where T : IFloatingPointIeee754<T>
    {
        int n = shape.KeySize, m = shape.ValueSize;
        T whole = T.Zero;
        for (int c = 0; c < n; c++)
        {
            T sum = T.Zero, factor = T.Exp(LogDecay(shape, g, row, c));
            for (int j = 0; j < m; j++)
            {
                T slope = gamma[(c * m) + j] - (key[c] * du[j]);
                sum += slope * decayed[(c * m) + j];
                gamma[(c * m) + j] = factor * slope;
            }
            whole += sum;
            if (shape.ChannelDecay) dg[(row * n) + c] = sum;
        }
        if (!shape.ChannelDecay) dg[row] = whole;
    }
}
