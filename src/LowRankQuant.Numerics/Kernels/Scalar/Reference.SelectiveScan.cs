using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Mamba-1's selective scan token after token (see <see cref="SelectiveScanShape"/>), and backwards with G = dloss/dS of a channel, zero at the end,
/// e = exp(dt A), products by elements:
/// <code>
/// S_t = e S_(t-1) + dt x B                             y = S_t . C + D x
/// G += dy C                                            dC += dy S_t
/// dx = dt (G . B) + D dy                               dB += dt x G
/// d(dt) = x (G . B) + sum(A e G S_(t-1))               G becomes e G
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void SelectiveScanForward<T>(
        in SelectiveScanShape shape, ReadOnlySpan<T> x, ReadOnlySpan<T> b, ReadOnlySpan<T> c, ReadOnlySpan<T> stepSizes, ReadOnlySpan<T> a,
        ReadOnlySpan<T> d, ReadOnlySpan<T> start, Span<T> y, Span<T> end, Span<T> chunkStates)
        where T : IFloatingPointIeee754<T>
    {
        int n = shape.StateSize;
        var state = new T[n];
        for (int lane = 0; lane < shape.Batch * shape.Channels; lane++)
        {
            int channel = lane % shape.Channels;
            if (start.IsEmpty) Array.Clear(state);
            else start.Slice(lane * n, n).CopyTo(state);
            for (int t = 0; t < shape.Length; t++)
            {
                if (!chunkStates.IsEmpty && t % SelectiveScanShape.ChunkLength == 0)
                {
                    for (int j = 0; j < n; j++) chunkStates[KeptState(shape, lane, t / SelectiveScanShape.ChunkLength, j)] = state[j];
                }
                int row = (lane / shape.Channels * shape.Length) + t, at = (row * shape.Channels) + channel;
                Advance(state, x[at], b.Slice(row * n, n), stepSizes[at], a.Slice(channel * n, n));
                y[at] = Dot(state, c.Slice(row * n, n)) + (d[channel] * x[at]);
            }
            if (!end.IsEmpty) state.CopyTo(end.Slice(lane * n, n));
        }
    }

    public static void SelectiveScanBackward<T>(
        in SelectiveScanShape shape, ReadOnlySpan<T> x, ReadOnlySpan<T> b, ReadOnlySpan<T> c, ReadOnlySpan<T> stepSizes, ReadOnlySpan<T> a,
        ReadOnlySpan<T> d, ReadOnlySpan<T> chunkStates, ReadOnlySpan<T> dy, Span<T> dx, Span<T> db, Span<T> dc, Span<T> dStepSizes)
        where T : IFloatingPointIeee754<T>
    {
        int n = shape.StateSize;
        db.Clear();
        dc.Clear();
        T[] states = new T[(SelectiveScanShape.ChunkLength + 1) * n], gradient = new T[n];
        for (int lane = 0; lane < shape.Batch * shape.Channels; lane++)
        {
            int channel = lane % shape.Channels;
            Array.Clear(gradient);
            for (int chunk = shape.Chunks - 1; chunk >= 0; chunk--)
            {
                int first = chunk * SelectiveScanShape.ChunkLength, count = Math.Min(SelectiveScanShape.ChunkLength, shape.Length - first);
                int firstRow = (lane / shape.Channels * shape.Length) + first;
                for (int j = 0; j < n; j++) states[j] = chunkStates[KeptState(shape, lane, chunk, j)];
                for (int t = 0; t < count; t++)
                {
                    int at = ((firstRow + t) * shape.Channels) + channel;
                    states.AsSpan(t * n, n).CopyTo(states.AsSpan((t + 1) * n, n));
                    Advance(states.AsSpan((t + 1) * n, n), x[at], b.Slice((firstRow + t) * n, n), stepSizes[at], a.Slice(channel * n, n));
                }
                for (int t = count - 1; t >= 0; t--)
                {
                    int at = ((firstRow + t) * shape.Channels) + channel, shared = (firstRow + t) * n;
                    T step = stepSizes[at], product = T.Zero, decayed = T.Zero;
                    for (int j = 0; j < n; j++)
                    {
                        T rate = a[(channel * n) + j];
                        gradient[j] += dy[at] * c[shared + j];
                        dc[shared + j] += dy[at] * states[((t + 1) * n) + j];
                        db[shared + j] += step * x[at] * gradient[j];
                        product += gradient[j] * b[shared + j];
                        gradient[j] *= T.Exp(step * rate);
                        decayed += rate * gradient[j] * states[(t * n) + j];
                    }
                    dx[at] = (step * product) + (d[channel] * dy[at]);
                    dStepSizes[at] = (x[at] * product) + decayed;
                }
            }
        }
    }

    /// <summary>Element j of the state of a lane (channel within sequence) at the start of a chunk.</summary>
    private static int KeptState(in SelectiveScanShape shape, int lane, int chunk, int j) =>
        (((((lane / shape.Channels * shape.Chunks) + chunk) * shape.StateSize) + j) * shape.Channels) + (lane % shape.Channels);

    /// <summary>S = exp(dt A) S + dt x B.</summary>
    private static void Advance<T>(Span<T> state, T x, ReadOnlySpan<T> b, T step, ReadOnlySpan<T> a)
        where T : IFloatingPointIeee754<T>
    {
        for (int j = 0; j < state.Length; j++) state[j] = (T.Exp(step * a[j]) * state[j]) + (step * x * b[j]);
    }
}
