using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Causal grouped-query attention of one query row i over its visible keys j (see <see cref="AttentionShape"/>), a the scale, c the cap, b the key's
/// bias, z the head's sink (see <see cref="AttentionTerms"/>):
/// <code>
/// t_j = a q k_j                       s_j = b_j + t_j, or b_j + c tanh(t_j / c) with a cap
/// l = log (e^z + sum_j e^s_j)         p_j = e^(s_j - l)              y = sum_j p_j v_j
/// dv_j += p_j dy                      ds_j = p_j (dy v_j - dy y)     dt_j = ds_j, or ds_j (1 - tanh^2(t_j / c))
/// dq = a sum_j dt_j k_j               dk_j += a dt_j q
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void AttentionForward<T>(
        in AttentionShape shape, ReadOnlySpan<T> keyBias, ReadOnlySpan<T> sinks, ReadOnlySpan<T> q, ReadOnlySpan<T> k, ReadOnlySpan<T> v,
        Span<T> y, Span<T> logSumExp)
        where T : IFloatingPointIeee754<T>
    {
        var scores = new T[shape.KeyLength];
        int n = shape.HeadSize, m = shape.ValueHeadSize, keys = shape.KeyValueHeads * n, values = shape.KeyValueHeads * m;
        for (int row = 0; row < shape.Batch * shape.QueryLength * shape.Heads; row++)
        {
            (int first, int end, int firstKeyRow, int keyHead) = VisibleKeys(shape, row);
            ReadOnlySpan<T> bias = Bias(shape, keyBias, row);
            T largest = sinks.IsEmpty ? T.NegativeInfinity : sinks[row % shape.Heads], sum = T.Zero;
            for (int j = first; j < end; j++)
            {
                scores[j] = Score(shape, bias, j, q.Slice(row * n, n), k.Slice(((firstKeyRow + j) * keys) + (keyHead * n), n), out _);
                largest = T.Max(largest, scores[j]);
            }
            for (int j = first; j < end; j++) sum += T.Exp(scores[j] - largest);
            if (!sinks.IsEmpty) sum += T.Exp(sinks[row % shape.Heads] - largest);
            logSumExp[row] = largest + T.Log(sum);
            Span<T> output = y.Slice(row * m, m);
            output.Clear();
            for (int j = first; j < end; j++)
            {
                T weight = T.Exp(scores[j] - logSumExp[row]);
                for (int d = 0; d < m; d++) output[d] += weight * v[((firstKeyRow + j) * values) + (keyHead * m) + d];
            }
        }
    }

    public static void AttentionBackward<T>(
        in AttentionShape shape, ReadOnlySpan<T> keyBias, ReadOnlySpan<T> dy, ReadOnlySpan<T> q, ReadOnlySpan<T> k, ReadOnlySpan<T> v,
        ReadOnlySpan<T> y, ReadOnlySpan<T> logSumExp, Span<T> dq, Span<T> dk, Span<T> dv)
        where T : IFloatingPointIeee754<T>
    {
        dq.Clear();
        dk.Clear();
        dv.Clear();
        T scale = T.CreateChecked(shape.Scale);
        int n = shape.HeadSize, m = shape.ValueHeadSize, keys = shape.KeyValueHeads * n, values = shape.KeyValueHeads * m;
        for (int row = 0; row < shape.Batch * shape.QueryLength * shape.Heads; row++)
        {
            (int first, int end, int firstKeyRow, int keyHead) = VisibleKeys(shape, row);
            ReadOnlySpan<T> bias = Bias(shape, keyBias, row), query = q.Slice(row * n, n), slope = dy.Slice(row * m, m);
            T delta = Dot(slope, y.Slice(row * m, m));
            for (int j = first; j < end; j++)
            {
                int key = ((firstKeyRow + j) * keys) + (keyHead * n), value = ((firstKeyRow + j) * values) + (keyHead * m);
                T weight = T.Exp(Score(shape, bias, j, query, k.Slice(key, n), out T bend) - logSumExp[row]);
                T dt = weight * (Dot(slope, v.Slice(value, m)) - delta) * bend * scale;
                for (int d = 0; d < m; d++) dv[value + d] += weight * slope[d];
                for (int d = 0; d < n; d++)
                {
                    dq[(row * n) + d] += dt * k[key + d];
                    dk[key + d] += dt * query[d];
                }
            }
        }
    }

    /// <summary>Keys that a row [batch, query, head] sees, the row of the sequence's first key, and the key head.</summary>
    private static (int First, int End, int FirstKeyRow, int KeyHead) VisibleKeys(in AttentionShape shape, int row)
    {
        int head = row % shape.Heads, query = row / shape.Heads % shape.QueryLength, batch = row / shape.Heads / shape.QueryLength;
        int position = query + shape.KeyLength - shape.QueryLength;
        return (shape.FirstKey(position), position + 1, batch * shape.KeyLength, head / (shape.Heads / shape.KeyValueHeads));
    }

    private static ReadOnlySpan<T> Bias<T>(in AttentionShape shape, ReadOnlySpan<T> keyBias, int row)
    {
        int columns = keyBias.Length / shape.Heads;
        return keyBias.Slice(row % shape.Heads * columns, columns);
    }

    /// <summary>s, and ds/dt.</summary>
    private static T Score<T>(in AttentionShape shape, ReadOnlySpan<T> bias, int key, ReadOnlySpan<T> q, ReadOnlySpan<T> k, out T slope)
        where T : IFloatingPointIeee754<T>
    {
        T score = T.CreateChecked(shape.Scale) * Dot(q, k), offset = bias.IsEmpty ? T.Zero : bias[key];
        slope = T.One;
        if (shape.SoftCap == 0) return score + offset;
        T cap = T.CreateChecked(shape.SoftCap), tanh = T.Tanh(score / cap);
        slope = T.One - (tanh * tanh);
        return (cap * tanh) + offset;
    }

    private static T Dot<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> b)
        where T : IFloatingPointIeee754<T>
    {
        T sum = T.Zero;
        for (int i = 0; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }
}
