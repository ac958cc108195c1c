using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Causal grouped-query attention of one query row i over its visible keys j (see <see cref="AttentionShape"/>), a the scale, c the cap:
/// <code>
/// t_j = a q k_j                       s_j = t_j, or c tanh(t_j / c) with a cap
/// l = log sum_j e^s_j                 p_j = e^(s_j - l)              y = sum_j p_j v_j
/// dv_j += p_j dy                      ds_j = p_j (dy v_j - dy y)     dt_j = ds_j, or ds_j (1 - tanh^2(t_j / c))
/// dq = a sum_j dt_j k_j               dk_j += a dt_j q
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void AttentionForward<T>(
        in AttentionShape shape, ReadOnlySpan<T> q, ReadOnlySpan<T> k, ReadOnlySpan<T> v, Span<T> y, Span<T> logSumExp)
        where T : IFloatingPointIeee754<T>
    {
        var scores = new T[shape.KeyLength];
        for (int row = 0; row < shape.Batch * shape.QueryLength * shape.Heads; row++)
        {
            (int first, int end) = VisibleKeys(shape, row, out int keyBase, out int keyStride);
            int n = shape.HeadSize;
            T largest = T.NegativeInfinity, sum = T.Zero;
            for (int j = first; j < end; j++)
            {
                scores[j] = Score(shape, q.Slice(row * n, n), k.Slice(keyBase + (j * keyStride), n), out _);
                largest = T.Max(largest, scores[j]);
            }
            for (int j = first; j < end; j++) sum += T.Exp(scores[j] - largest);
            logSumExp[row] = largest + T.Log(sum);
            y.Slice(row * n, n).Clear();
            for (int j = first; j < end; j++)
            {
                T weight = T.Exp(scores[j] - logSumExp[row]);
                for (int d = 0; d < n; d++) y[(row * n) + d] += weight * v[keyBase + (j * keyStride) + d];
            }
        }
    }

    public static void AttentionBackward<T>(
        in AttentionShape shape, ReadOnlySpan<T> dy, ReadOnlySpan<T> q, ReadOnlySpan<T> k, ReadOnlySpan<T> v, ReadOnlySpan<T> y,
        ReadOnlySpan<T> logSumExp, Span<T> dq, Span<T> dk, Span<T> dv)
        where T : IFloatingPointIeee754<T>
    {
        dq.Clear();
        dk.Clear();
        dv.Clear();
        T scale = T.CreateChecked(shape.Scale);
        for (int row = 0; row < shape.Batch * shape.QueryLength * shape.Heads; row++)
        {
            (int first, int end) = VisibleKeys(shape, row, out int keyBase, out int keyStride);
            int n = shape.HeadSize, at = row * n;
            T delta = Dot(dy.Slice(at, n), y.Slice(at, n));
            for (int j = first; j < end; j++)
            {
                int key = keyBase + (j * keyStride);
                T weight = T.Exp(Score(shape, q.Slice(at, n), k.Slice(key, n), out T slope) - logSumExp[row]);
                T dt = weight * (Dot(dy.Slice(at, n), v.Slice(key, n)) - delta) * slope * scale;
                for (int d = 0; d < n; d++)
                {
                    dv[key + d] += weight * dy[at + d];
                    dq[at + d] += dt * k[key + d];
                    dk[key + d] += dt * q[at + d];
                }
            }
        }
    }

    /// <summary>Keys that a row [batch, query, head] sees, and where its key head starts.</summary>
    private static (int First, int End) VisibleKeys(in AttentionShape shape, int row, out int keyBase, out int keyStride)
    {
        int head = row % shape.Heads, query = row / shape.Heads % shape.QueryLength, batch = row / shape.Heads / shape.QueryLength;
        keyStride = shape.KeyValueHeads * shape.HeadSize;
        keyBase = (batch * shape.KeyLength * keyStride) + (head / (shape.Heads / shape.KeyValueHeads) * shape.HeadSize);
        int position = query + shape.KeyLength - shape.QueryLength;
        return (shape.Window > 0 ? Math.Max(0, position - shape.Window + 1) : 0, position + 1);
    }

    /// <summary>s, and ds/dt.</summary>
    private static T Score<T>(in AttentionShape shape, ReadOnlySpan<T> q, ReadOnlySpan<T> k, out T slope)
        where T : IFloatingPointIeee754<T>
    {
        T score = T.CreateChecked(shape.Scale) * Dot(q, k);
        slope = T.One;
        if (shape.SoftCap == 0) return score;
        T cap = T.CreateChecked(shape.SoftCap), tanh = T.Tanh(score / cap);
        slope = T.One - (tanh * tanh);
        return cap * tanh;
    }

    private static T Dot<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> b)
        where T : IFloatingPointIeee754<T>
    {
        T sum = T.Zero;
        for (int i = 0; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }
}
