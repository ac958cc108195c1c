namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Mamba-2 in chunks of <see cref="Block"/> tokens (state space duality, arXiv 2405.21060): within a chunk of L tokens with the start state S0 and
/// c_i = dt_1 A + .. + dt_i A the outputs and the end state are
/// <code>
/// y_i = sum over j up to i of (C_i . B_j) e^(c_i - c_j) dt_j x_j + e^c_i S0 C_i + D x_i
/// S   = e^c_L S0 + sum over j of e^(c_L - c_j) dt_j x_j B_j^T
/// </code>
/// which are small matrix products. The states are held transposed. Few tokens take the recurrence as it is.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>With fewer tokens than this the recurrence is faster than the chunk.</summary>
    private const int FewStateTokens = 8;

    public void StateSpaceForward(in StateSpaceShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates)
    {
        var s = new StateSpaceSizes(shape, inputs);
        float* before = Address(start), output = y.Pointer, after = Address(end), kept = Address(chunkStates);
        if (s.Length < FewStateTokens && kept == null) pool.Run(s.Batch * s.Heads, lane => StateSpaceFew(s, lane, before, output, after));
        else pool.Run(s.Items, item => StateSpaceChunks(s, item, before, output, after, kept));
    }

    /// <summary>All chunks of a block of heads, in turns.</summary>
    private void StateSpaceChunks(in StateSpaceSizes s, int item, float* start, float* y, float* end, float* kept)
    {
        const int square = Block * Block;
        int n = s.StateSize, p = s.Padded;
        using ScratchPool.Lease lease = _scratch.Rent((2 * n * Block) + (2 * square) + (3 * s.Panel) + (HeadsAtOnce * s.PaddedState) + ChunkDecays.Size);
        float* written = lease.Pointer, read = written + (n * Block), products = read + (n * Block), weights = products + square, input = weights + square;
        float* weighted = input + s.Panel, output = weighted + s.Panel, states = output + s.Panel;
        var decays = new ChunkDecays(states + (HeadsAtOnce * s.PaddedState));
        (int batch, int group, int firstHead, int heads) = s.Item(item);
        for (int h = 0; h < heads; h++) LoadState(s, start, (batch * s.Heads) + firstHead + h, states + (h * s.PaddedState));
        for (int chunk = 0; chunk < s.Chunks; chunk++)
        {
            int rows = s.Rows(chunk), width = InRegisters(rows), ahead = s.Rows(chunk + 1);
            long row = ((long)batch * s.Length) + ((long)chunk * Block);
            float* b = s.B + (row * s.SharedStride) + (group * n), c = s.C + (row * s.SharedStride) + (group * n);
            Transposition.Transpose(b, s.SharedStride, rows, n, written, Block);
            Gather(c, s.SharedStride, rows, n, read);
            SmallProduct<V>.Multiply(rows, width, n, read, n, 1, written, Block, products, Block, false, columnLimit: 0);
            for (int h = 0; h < heads; h++)
            {
                int head = firstHead + h;
                float* state = states + (h * s.PaddedState);
                long at = (row * s.Stride) + ((long)head * s.HeadSize);
                if (kept != null) KeepState(s, state, kept + ((((((long)batch * s.Heads) + head) * s.Chunks) + chunk) * s.State));
                decays.Fill(s, row, head, rows);
                CausalWeights(decays, products, s.D[head], weights, rows, width);
                PackScaled(s.X + at, s.Stride, rows, s.HeadSize, decays.Weights, input, weighted, p);
                Prefetch(s.X + at + ((long)Block * s.Stride), s.Stride, ahead, s.HeadSize);
                Prefetch(y + at + ((long)Block * s.Stride), s.Stride, ahead, s.HeadSize);
                bool started = chunk > 0 || start != null;
                if (started)
                {
                    SmallProduct<V>.Multiply(rows, p, n, read, n, 1, state, p, output, p, false);
                    ScalePanel(output, decays.FromStart, rows, p);
                }
                SmallProduct<V>.Multiply(rows, p, rows, weights, Block, 1, input, p, output, p, started, innerLimit: 0);
                Unpack(output, p, rows, s.HeadSize, y + at, s.Stride);
                if (chunk == s.Chunks - 1 && end == null) continue;
                ScaleChunk(state, decays.Whole(rows), state, s.PaddedState);
                SmallProduct<V>.Multiply(n, p, rows, written, Block, 1, weighted, p, state, p, true);
            }
        }
        if (end == null) return;
        for (int h = 0; h < heads; h++)
        {
            float* to = end + ((((long)batch * s.Heads) + firstHead + h) * s.State);
            Transposition.Transpose(states + (h * s.PaddedState), p, n, s.HeadSize, to, n);
        }
    }

    /// <summary>weights[i, j] = products[i, j] e^(c_i - c_j) dt_j for j up to i, else 0; D is added where j is i.</summary>
    private static void CausalWeights(in ChunkDecays decays, float* products, float skip, float* weights, int rows, int width)
    {
        for (int i = 0; i < rows; i++)
        {
            V last = V.Create(i);
            int j = 0;
            for (; j <= i; j += V.Count)
            {
                V value = V.Load(products + (i * Block) + j) * decays.Between(i, j) * V.Load(decays.StepSizes + j);
                (value & V.LessThanOrEqual(V.Indices + V.Create(j), last)).Store(weights + (i * Block) + j);
            }
            for (; j < width; j += V.Count) V.Zero.Store(weights + (i * Block) + j);
            weights[(i * Block) + i] += skip;
        }
    }

    /// <summary>Rows [rows, padded] times a factor each.</summary>
    private static void ScalePanel(float* x, float* factors, int rows, int padded)
    {
        for (int r = 0; r < rows; r++)
        {
            V factor = V.Create(factors[r]);
            for (int j = 0; j < padded; j += V.Count) (factor * V.Load(x + j)).Store(x + j);
            x += padded;
        }
    }

    /// <summary>The start state of a lane (head within sequence), transposed and padded, or zeros.</summary>
    private static void LoadState(in StateSpaceSizes s, float* start, int lane, float* state)
    {
        if (start == null || s.Padded > s.HeadSize) new Span<float>(state, s.PaddedState).Clear();
        if (start != null) Transposition.Transpose(start + ((long)lane * s.State), s.StateSize, s.HeadSize, s.StateSize, state, s.Padded);
    }

    private static void KeepState(in StateSpaceSizes s, float* state, float* kept)
    {
        for (int j = 0; j < s.StateSize; j++)
            new ReadOnlySpan<float>(state + (j * s.Padded), s.HeadSize).CopyTo(new Span<float>(kept + (j * s.HeadSize), s.HeadSize));
    }

    /// <summary>The recurrence as it is, for steps of generation: rows of a state are independent, and four at a time pass through all tokens.</summary>
    private void StateSpaceFew(in StateSpaceSizes s, int lane, float* start, float* y, float* end)
    {
        using ScratchPool.Lease lease = _scratch.Rent(end == null ? s.State : 0);
        float* state = end == null ? lease.Pointer : end + ((long)lane * s.State);
        if (start == null) new Span<float>(state, s.State).Clear();
        else if (start != end) new ReadOnlySpan<float>(start + ((long)lane * s.State), s.State).CopyTo(new Span<float>(state, s.State));
        int n = s.StateSize, batch = lane / s.Heads, head = lane % s.Heads;
        float* decays = stackalloc float[FewStateTokens];
        float skip = s.D[head];
        for (int t = 0; t < s.Length; t++) decays[t] = MathF.Exp(s.StepSizes[((((long)batch * s.Length) + t) * s.Heads) + head] * s.A[head]);
        int r = 0;
        for (; r <= s.HeadSize - 4; r += 4)
        {
            for (int t = 0; t < s.Length; t++)
            {
                long row = ((long)batch * s.Length) + t, at = (row * s.Stride) + ((long)head * s.HeadSize) + r;
                float* b = s.B + (row * s.SharedStride) + (head / s.Group * n), c = s.C + (row * s.SharedStride) + (head / s.Group * n);
                AdvanceFour(state + (r * n), decays[t], s.StepSizes[(row * s.Heads) + head], s.X + at, b, c, n, skip, y + at);
            }
        }
        for (; r < s.HeadSize; r++)
        {
            for (int t = 0; t < s.Length; t++)
            {
                long row = ((long)batch * s.Length) + t, at = (row * s.Stride) + ((long)head * s.HeadSize) + r;
                float* b = s.B + (row * s.SharedStride) + (head / s.Group * n), c = s.C + (row * s.SharedStride) + (head / s.Group * n);
                float step = s.StepSizes[(row * s.Heads) + head];
                y[at] = AdvanceRow(state + (r * n), decays[t], step * s.X[at], b, c, n) + (skip * s.X[at]);
            }
        }
    }

    /// <summary>Four rows of a state [4, n] by one token: S = e S + dt x B^T, y = S C + D x.</summary>
    private static void AdvanceFour(float* state, float decay, float step, float* x, float* b, float* c, int n, float skip, float* y)
    {
        float* state1 = state + n, state2 = state1 + n, state3 = state2 + n;
        V e = V.Create(decay), x0 = V.Create(step * x[0]), x1 = V.Create(step * x[1]), x2 = V.Create(step * x[2]), x3 = V.Create(step * x[3]);
        V sum0 = V.Zero, sum1 = V.Zero, sum2 = V.Zero, sum3 = V.Zero;
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            V written = V.Load(b + j, left), read = V.Load(c + j, left);
            V s0 = V.MultiplyAdd(x0, written, e * V.Load(state + j, left)), s1 = V.MultiplyAdd(x1, written, e * V.Load(state1 + j, left));
            V s2 = V.MultiplyAdd(x2, written, e * V.Load(state2 + j, left)), s3 = V.MultiplyAdd(x3, written, e * V.Load(state3 + j, left));
            s0.Store(state + j, left);
            s1.Store(state1 + j, left);
            s2.Store(state2 + j, left);
            s3.Store(state3 + j, left);
            sum0 = V.MultiplyAdd(s0, read, sum0);
            sum1 = V.MultiplyAdd(s1, read, sum1);
            sum2 = V.MultiplyAdd(s2, read, sum2);
            sum3 = V.MultiplyAdd(s3, read, sum3);
        }
        y[0] = V.Sum(sum0) + (skip * x[0]);
        y[1] = V.Sum(sum1) + (skip * x[1]);
        y[2] = V.Sum(sum2) + (skip * x[2]);
        y[3] = V.Sum(sum3) + (skip * x[3]);
    }

    /// <summary>One row of a state [n] by one token: S = e S + x B, and S . C.</summary>
    private static float AdvanceRow(float* state, float decay, float x, float* b, float* c, int n)
    {
        V e = V.Create(decay), input = V.Create(x), sum = V.Zero;
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            V value = V.MultiplyAdd(input, V.Load(b + j, left), e * V.Load(state + j, left));
            value.Store(state + j, left);
            sum = V.MultiplyAdd(value, V.Load(c + j, left), sum);
        }
        return V.Sum(sum);
    }
}
