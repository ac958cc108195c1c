using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Mamba-2's recurrence token after token (see <see cref="StateSpaceShape"/>), and backwards with G = dloss/dS_t, zero at the end, e = exp(dt A):
/// <code>
/// S_t = e S_(t-1) + dt x_t B_t^T                       y_t = S_t C_t + D x_t
/// G += dy_t C_t^T                                      dC_t += S_t^T dy_t
/// dx_t = dt G B_t + D dy_t                             dB_t += dt G^T x_t
/// d(dt) = x_t . G B_t + A e sum(G * S_(t-1))           G becomes e G
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void StateSpaceForward<T>(
        in StateSpaceShape shape, ReadOnlySpan<T> x, ReadOnlySpan<T> b, ReadOnlySpan<T> c, ReadOnlySpan<T> stepSizes, ReadOnlySpan<T> a,
        ReadOnlySpan<T> d, ReadOnlySpan<T> start, Span<T> y, Span<T> end, Span<T> chunkStates)
        where T : IFloatingPointIeee754<T>
    {
        int p = shape.HeadSize, n = shape.StateSize, size = p * n;
        var state = new T[size];
        for (int lane = 0; lane < shape.Batch * shape.Heads; lane++)
        {
            int head = lane % shape.Heads;
            if (start.IsEmpty) Array.Clear(state);
            else start.Slice(lane * size, size).CopyTo(state);
            for (int t = 0; t < shape.Length; t++)
            {
                if (!chunkStates.IsEmpty && t % StateSpaceShape.ChunkLength == 0)
                    Transpose(state, p, n, chunkStates.Slice(((lane * shape.Chunks) + (t / StateSpaceShape.ChunkLength)) * size, size));
                (int row, int group) = StateSpaceRow(shape, lane, t);
                ReadOnlySpan<T> input = x.Slice(((row * shape.Heads) + head) * p, p), read = c.Slice(group, n);
                Advance(state, input, b.Slice(group, n), stepSizes[(row * shape.Heads) + head], a[head]);
                for (int i = 0; i < p; i++)
                    y[(((row * shape.Heads) + head) * p) + i] = Dot(state.AsSpan(i * n, n), read) + (d[head] * input[i]);
            }
            if (!end.IsEmpty) state.CopyTo(end.Slice(lane * size, size));
        }
    }

    public static void StateSpaceBackward<T>(
        in StateSpaceShape shape, ReadOnlySpan<T> x, ReadOnlySpan<T> b, ReadOnlySpan<T> c, ReadOnlySpan<T> stepSizes, ReadOnlySpan<T> a,
        ReadOnlySpan<T> d, ReadOnlySpan<T> chunkStates, ReadOnlySpan<T> dy, Span<T> dx, Span<T> db, Span<T> dc, Span<T> dStepSizes)
        where T : IFloatingPointIeee754<T>
    {
        int p = shape.HeadSize, n = shape.StateSize, size = p * n;
        db.Clear();
        dc.Clear();
        T[] states = new T[(StateSpaceShape.ChunkLength + 1) * size], gradient = new T[size];
        for (int lane = 0; lane < shape.Batch * shape.Heads; lane++)
        {
            int head = lane % shape.Heads;
            Array.Clear(gradient);
            for (int chunk = shape.Chunks - 1; chunk >= 0; chunk--)
            {
                int first = chunk * StateSpaceShape.ChunkLength, count = Math.Min(StateSpaceShape.ChunkLength, shape.Length - first);
                Transpose(chunkStates.Slice(((lane * shape.Chunks) + chunk) * size, size), n, p, states);
                for (int t = 0; t < count; t++)
                {
                    (int row, int group) = StateSpaceRow(shape, lane, first + t);
                    int at = (row * shape.Heads) + head;
                    states.AsSpan(t * size, size).CopyTo(states.AsSpan((t + 1) * size, size));
                    Advance(states.AsSpan((t + 1) * size, size), x.Slice(at * p, p), b.Slice(group, n), stepSizes[at], a[head]);
                }
                for (int t = count - 1; t >= 0; t--)
                {
                    (int row, int group) = StateSpaceRow(shape, lane, first + t);
                    int at = (row * shape.Heads) + head;
                    T step = stepSizes[at], decay = T.Exp(step * a[head]), written = T.Zero, decayed = T.Zero;
                    for (int i = 0; i < p; i++)
                    {
                        T input = x[(at * p) + i], slope = dy[(at * p) + i], product = T.Zero;
                        for (int j = 0; j < n; j++)
                        {
                            int element = (i * n) + j;
                            gradient[element] += slope * c[group + j];
                            dc[group + j] += slope * states[((t + 1) * size) + element];
                            db[group + j] += step * input * gradient[element];
                            product += gradient[element] * b[group + j];
                            gradient[element] *= decay;
                            decayed += gradient[element] * states[(t * size) + element];
                        }
                        dx[(at * p) + i] = (step * product) + (d[head] * slope);
                        written += input * product;
                    }
                    dStepSizes[at] = written + (a[head] * decayed);
                }
            }
        }
    }

    /// <summary>Row of a token of a lane (head within sequence), and first element of its group in B and C.</summary>
    private static (int Row, int Group) StateSpaceRow(in StateSpaceShape shape, int lane, int token)
    {
        int row = (lane / shape.Heads * shape.Length) + token, group = lane % shape.Heads / (shape.Heads / shape.Groups);
        return (row, ((row * shape.Groups) + group) * shape.StateSize);
    }

    /// <summary>S = exp(dt A) S + dt x B^T.</summary>
    private static void Advance<T>(Span<T> state, ReadOnlySpan<T> x, ReadOnlySpan<T> b, T step, T a)
        where T : IFloatingPointIeee754<T>
    {
        T decay = T.Exp(step * a);
        for (int i = 0; i < state.Length; i++) state[i] = (decay * state[i]) + (step * x[i / b.Length] * b[i % b.Length]);
    }

    /// <summary>y [columns, rows] = x [rows, columns] transposed.</summary>
    private static void Transpose<T>(ReadOnlySpan<T> x, int rows, int columns, Span<T> y)
    {
        for (int i = 0; i < rows * columns; i++) y[(i % columns * rows) + (i / columns)] = x[i];
    }
}
