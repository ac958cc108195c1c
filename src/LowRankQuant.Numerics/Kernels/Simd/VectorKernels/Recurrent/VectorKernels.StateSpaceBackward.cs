namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Gradients of Mamba-2 chunk by chunk, last to first. With G the gradient of a chunk's end state (zero behind the last token), E_ij = e^(c_i - c_j),
/// f_j = E_Lj, and sums over j up to i or i from j on:
/// <code>
/// P_ij = E_ij dt_j (dy_i . x_j)                       Q_ij = P_ij (C_i . B_j)
/// dC_i = sum_j P_ij B_j + e^c_i S0^T dy_i             dB_j = sum_i P_ij C_i + f_j dt_j G^T x_j
/// z_j  = sum_i (C_i . B_j) E_ij dy_i + f_j G B_j      dx_j = dt_j z_j + D dy_j
/// d(dt_k) = x_k . z_k + A r_k
/// r_k  = sum of Q_ij over j below k up to i + sum over i from k of e^c_i dy_i . S0 C_i + sum over j below k of f_j dt_j x_j . G B_j + e^c_L (G . S0)
/// </code>
/// where r_k, the gradient of dt_k A, is what passes from before token k to behind it: no differences of large sums. G becomes
/// e^c_L G + sum_i e^c_i dy_i C_i^T. G and the states are held transposed, as are dB and dC while they are summed over the heads of a block.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void StateSpaceBackward(in StateSpaceShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients)
    {
        var s = new StateSpaceSizes(shape, inputs);
        var rows = new StateSpaceRows(chunkStates.Pointer, dy.Pointer, gradients.X.Pointer, gradients.StepSizes.Pointer);
        float* db = gradients.B.Pointer, dc = gradients.C.Pointer;
        if (s.HeadBlocks == 1)
        {
            pool.Run(s.Items, item =>
            {
                (int batch, int group, int _, int _) = s.Item(item);
                long at = ((long)batch * s.Length * s.SharedStride) + ((long)group * s.StateSize);
                StateSpaceBackwardChunks(s, item, rows, db + at, dc + at, s.SharedStride);
            });
            return;
        }
        long part = (long)s.Length * s.StateSize;
        using ScratchPool.Lease lease = _scratch.Rent(2 * s.Items * part);
        float* partialB = lease.Pointer, partialC = partialB + (s.Items * part);
        pool.Run(s.Items, item => StateSpaceBackwardChunks(s, item, rows, partialB + (item * part), partialC + (item * part), s.StateSize));
        ForRows(s.Batch * s.Length, 2 * s.SharedStride * s.HeadBlocks, (_, first, end) =>
        {
            for (int row = first; row < end; row++)
            {
                for (int group = 0; group < s.Groups; group++)
                {
                    long to = ((long)row * s.SharedStride) + ((long)group * s.StateSize);
                    long from = ((((long)(row / s.Length * s.Groups) + group) * s.HeadBlocks * s.Length) + (row % s.Length)) * s.StateSize;
                    SumParts(partialB + from, part, s.HeadBlocks, db + to, s.StateSize);
                    SumParts(partialC + from, part, s.HeadBlocks, dc + to, s.StateSize);
                }
            }
        });
    }

    /// <summary>y = sum of count runs of n floats, in their order.</summary>
    private static void SumParts(float* parts, long stride, int count, float* y, int n)
    {
        for (int j = 0; j < n; j += V.Count)
        {
            V sum = V.Load(parts + j, n - j);
            for (int i = 1; i < count; i++) sum += V.Load(parts + (i * stride) + j, n - j);
            sum.Store(y + j, n - j);
        }
    }

    /// <summary>All chunks of a block of heads; db and dc point to the first token's row of the block's group, and are overwritten.</summary>
    private void StateSpaceBackwardChunks(in StateSpaceSizes s, int item, in StateSpaceRows rows, float* db, float* dc, int stride)
    {
        using ScratchPool.Lease lease = _scratch.Rent(StateSpacePanels.Size(s));
        var panels = new StateSpacePanels(lease.Pointer, s);
        (int batch, int group, int firstHead, int heads) = s.Item(item);
        int n = s.StateSize;
        new Span<float>(panels.Gradients, HeadsAtOnce * s.PaddedState).Clear();
        for (int chunk = s.Chunks - 1; chunk >= 0; chunk--)
        {
            int count = s.Rows(chunk), width = InRegisters(count);
            long row = ((long)batch * s.Length) + ((long)chunk * Block);
            float* b = s.B + (row * s.SharedStride) + (group * n), c = s.C + (row * s.SharedStride) + (group * n);
            Transposition.Transpose(b, s.SharedStride, count, n, panels.Written, Block);
            Transposition.Transpose(c, s.SharedStride, count, n, panels.Read, Block);
            Gather(b, s.SharedStride, count, n, panels.WrittenRows);
            SmallProduct<V>.Multiply(count, width, n, c, s.SharedStride, 1, panels.Written, Block, panels.Products, Block, false, columnLimit: 0);
            new Span<float>(panels.Sums, Block * Block).Clear();
            new Span<float>(panels.BGradient, 2 * n * Block).Clear();
            for (int h = 0; h < heads; h++)
            {
                int head = firstHead + h;
                float* start = rows.Kept + ((((((long)batch * s.Heads) + head) * s.Chunks) + chunk) * s.State);
                StateSpaceHeadBackward(s, rows, panels, start, panels.Gradients + (h * s.PaddedState), row, head, chunk, count);
            }

            // The products of P are made for all heads of the block together; of a strip of columns only rows up to (or from) its own are not zero.
            Transposition.Transpose(panels.Sums, Block, count, count, panels.Weights, Block);
            for (int j = 0; j < width; j += 2 * V.Count)
            {
                int strip = Math.Min(2 * V.Count, width - j);
                SmallProduct<V>.Multiply(
                    n, strip, count - j, panels.Read + j, Block, 1, panels.Sums + (j * Block) + j, Block, panels.BGradient + j, Block, true);
                SmallProduct<V>.Multiply(
                    n, strip, Math.Min(count, j + strip), panels.Written, Block, 1, panels.Weights + j, Block, panels.CGradient + j, Block, true);
            }
            long to = (long)chunk * Block * stride;
            Transposition.Transpose(panels.BGradient, Block, n, count, db + to, stride);
            Transposition.Transpose(panels.CGradient, Block, n, count, dc + to, stride);
        }
    }

    /// <summary>One head of one chunk; <paramref name="gradient"/> comes as the gradient of the chunk's end state and leaves as that of its start state.</summary>
    private static void StateSpaceHeadBackward(
        in StateSpaceSizes s, in StateSpaceRows rows, in StateSpacePanels panels, float* start, float* gradient, long row, int head, int chunk,
        int count)
    {
        int n = s.StateSize, p = s.Padded, width = InRegisters(count);
        long at = (row * s.Stride) + ((long)head * s.HeadSize);
        bool later = chunk < s.Chunks - 1;
        ChunkDecays decays = panels.Decays;
        decays.Fill(s, row, head, count);
        PackScaled(rows.Slope + at, s.Stride, count, s.HeadSize, decays.FromStart, panels.Slope, panels.Weighted, p);
        Transposition.Transpose(s.X + at, s.Stride, count, s.HeadSize, panels.InputTransposed, Block);
        if (chunk > 0)
        {
            long back = at - ((long)Block * s.Stride);
            Prefetch(s.X + back, s.Stride, Block, s.HeadSize);
            Prefetch(rows.Slope + back, s.Stride, Block, s.HeadSize);
            Prefetch(rows.InputGradient + back, s.Stride, Block, s.HeadSize);
            Prefetch(start - s.State, s.HeadSize, n, s.HeadSize);
        }
        Transposition.Transpose(panels.Weighted, p, count, s.HeadSize, panels.SlopeTransposed, Block);
        SmallProduct<V>.Multiply(
            count, width, s.HeadSize, panels.Slope, p, 1, panels.InputTransposed, Block, panels.Slopes, Block, false, columnLimit: 0);
        CausalWeightsBackward(decays, panels, count, width);
        SmallProduct<V>.Multiply(count, p, count, panels.Weights, 1, Block, panels.Slope, p, panels.Inner, p, false, innerStart: 0);

        float across = 0;
        if (later)
        {
            SmallProduct<V>.Multiply(count, p, n, panels.WrittenRows, n, 1, gradient, p, panels.Outer, p, false);
            ScaleColumns(panels.InputTransposed, decays.Weights, s.HeadSize, width);
            SmallProduct<V>.Multiply(n, width, s.HeadSize, gradient, p, 1, panels.InputTransposed, Block, panels.BGradient, Block, true);
            across = PassState(gradient, start, decays.Whole(count), n, s.HeadSize, p);
        }
        else
        {
            new Span<float>(panels.Outer, count * p).Clear();
        }
        SmallProduct<V>.Multiply(n, width, s.HeadSize, start, s.HeadSize, 1, panels.SlopeTransposed, Block, panels.StateRead, Block, false);
        AddRead(panels, n, width);
        if (chunk > 0) SmallProduct<V>.Multiply(n, p, count, panels.Read, Block, 1, panels.Weighted, p, gradient, p, true);

        // Of every token: the gradient of dt as a factor of x, and what it puts into the end state; the latter is turned into what comes before a token.
        float* direct = panels.PerToken, written = direct + Block, read = panels.ReadSums, straddling = panels.Straddling;
        double before = across, after = 0;
        for (int i = 0; i < count; i++)
        {
            long to = at + ((long)i * s.Stride);
            InputGradient(
                panels.Inner + (i * p), panels.Outer + (i * p), decays.ToEnd[i], decays.StepSizes[i], s.X + to, panels.Slope + (i * p), s.D[head],
                rows.InputGradient + to, s.HeadSize, out float inside, out float outside);
            direct[i] = inside + outside;
            written[i] = (float)before;
            before += decays.StepSizes[i] * outside;
        }
        for (int i = count - 1; i >= 0; i--)
        {
            after += read[i];
            rows.StepGradient[((row + i) * s.Heads) + head] = (float)(direct[i] + (s.A[head] * (straddling[i] + after + written[i])));
        }
    }

    /// <summary>
    /// weights[i, j] = (C_i . B_j) E_ij and sums[i, j] += P_ij for j up to i; straddling[k] = sum of Q_ij over j below k up to i, from sums of the
    /// columns of Q over the rows from k on.
    /// </summary>
    private static void CausalWeightsBackward(in ChunkDecays decays, in StateSpacePanels panels, int rows, int width)
    {
        float* columns = panels.PerToken;
        new Span<float>(columns, width).Clear();
        for (int i = rows - 1; i >= 0; i--)
        {
            float* product = panels.Products + (i * Block), slope = panels.Slopes + (i * Block), weight = panels.Weights + (i * Block);
            float* sum = panels.Sums + (i * Block);
            V last = V.Create(i), total = V.Zero;
            int j = 0;
            for (; j <= i; j += V.Count)
            {
                V index = V.Indices + V.Create(j), past = V.LessThan(index, last), decay = decays.Between(i, j);
                V causal = V.LessThanOrEqual(index, last), w = (V.Load(product + j) * decay) & causal;
                V slopes = V.Load(decays.StepSizes + j) * V.Load(slope + j);
                w.Store(weight + j);
                (V.Load(sum + j) + ((slopes * decay) & causal)).Store(sum + j);
                V column = V.Load(columns + j) + ((slopes * w) & past);
                column.Store(columns + j);
                total += column & past;
            }
            for (; j < width; j += V.Count) V.Zero.Store(weight + j);
            panels.Straddling[i] = V.Sum(total);
        }
    }

    /// <summary>Adds what tokens read from the start state to dC, and leaves sum of C times that, by elements, for every token.</summary>
    private static void AddRead(in StateSpacePanels panels, int n, int width)
    {
        for (int j = 0; j < width; j += V.Count)
        {
            V sum = V.Zero;
            for (int i = 0; i < n; i++)
            {
                int at = (i * Block) + j;
                V read = V.Load(panels.StateRead + at);
                sum = V.MultiplyAdd(V.Load(panels.Read + at), read, sum);
                (V.Load(panels.CGradient + at) + read).Store(panels.CGradient + at);
            }
            sum.Store(panels.ReadSums + j);
        }
    }

    /// <summary>dx = dt (inner + f outer) + D dy; inside = x . inner, outside = f x . outer.</summary>
    private static void InputGradient(
        float* inner, float* outer, float toEnd, float step, float* x, float* slope, float skip, float* dx, int n, out float inside, out float outside)
    {
        V f = V.Create(toEnd), dt = V.Create(step), d = V.Create(skip), innerSum = V.Zero, outerSum = V.Zero;
        for (int j = 0; j < n; j += V.Count)
        {
            V input = V.Load(x + j, n - j), within = V.Load(inner + j), beyond = f * V.Load(outer + j);
            innerSum = V.MultiplyAdd(input, within, innerSum);
            outerSum = V.MultiplyAdd(input, beyond, outerSum);
            V.MultiplyAdd(dt, within + beyond, d * V.Load(slope + j)).Store(dx + j, n - j);
        }
        inside = V.Sum(innerSum);
        outside = V.Sum(outerSum);
    }

    /// <summary>x[r, :] *= factors, rows a block apart and width in whole registers.</summary>
    private static void ScaleColumns(float* x, float* factors, int rows, int width)
    {
        for (int j = 0; j < width; j += V.Count)
        {
            V factor = V.Load(factors + j);
            for (int r = 0; r < rows; r++) (factor * V.Load(x + (r * Block) + j)).Store(x + (r * Block) + j);
        }
    }

    /// <summary>G becomes e G; returns e (G . S0), for G [n, padded] and S0 [n, headSize], both transposed.</summary>
    private static float PassState(float* gradient, float* start, float decay, int n, int headSize, int padded)
    {
        V e = V.Create(decay), sum = V.Zero;
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < padded; j += V.Count)
            {
                V left = e * V.Load(gradient + j);
                left.Store(gradient + j);
                sum = V.MultiplyAdd(left, V.Load(start + j, headSize - j), sum);
            }
            gradient += padded;
            start += headSize;
        }
        return V.Sum(sum);
    }

    private readonly struct StateSpaceRows(float* kept, float* slope, float* inputGradient, float* stepGradient)
    {
        /// <summary>States at the starts of chunks.</summary>
        public readonly float* Kept = kept;

        /// <summary>dy.</summary>
        public readonly float* Slope = slope;

        /// <summary>dx.</summary>
        public readonly float* InputGradient = inputGradient;

        /// <summary>d(dt).</summary>
        public readonly float* StepGradient = stepGradient;
    }

    /// <summary>Work memory of one chunk; N is the size of the state, P that of a head in whole registers.</summary>
    private readonly struct StateSpacePanels
    {
        private const int Square = Block * Block;

        public StateSpacePanels(float* memory, in StateSpaceSizes s)
        {
            int shared = s.StateSize * Block, head = s.HeadSize * Block;
            Products = memory;
            Weights = Products + Square;
            Slopes = Weights + Square;
            Sums = Slopes + Square;
            Written = Sums + Square;
            WrittenRows = Written + shared;
            Read = WrittenRows + shared;
            BGradient = Read + shared;
            CGradient = BGradient + shared;
            StateRead = CGradient + shared;
            InputTransposed = StateRead + shared;
            SlopeTransposed = InputTransposed + head;
            Slope = SlopeTransposed + head;
            Weighted = Slope + s.Panel;
            Inner = Weighted + s.Panel;
            Outer = Inner + s.Panel;
            Gradients = Outer + s.Panel;
            PerToken = Gradients + (HeadsAtOnce * s.PaddedState);
            ReadSums = PerToken + (2 * Block);
            Straddling = ReadSums + Block;
            Decays = new ChunkDecays(Straddling + Block);
        }

        /// <summary>C_i . B_j, [Block, Block].</summary>
        public float* Products { get; }

        /// <summary>(C_i . B_j) E_ij; afterwards the sums transposed.</summary>
        public float* Weights { get; }

        /// <summary>dy_i . x_j.</summary>
        public float* Slopes { get; }

        /// <summary>P summed over heads.</summary>
        public float* Sums { get; }

        /// <summary>B transposed, [N, Block].</summary>
        public float* Written { get; }

        /// <summary>B, [Block, N].</summary>
        public float* WrittenRows { get; }

        /// <summary>C transposed, [N, Block].</summary>
        public float* Read { get; }

        /// <summary>dB transposed, [N, Block].</summary>
        public float* BGradient { get; }

        /// <summary>dC transposed, directly behind.</summary>
        public float* CGradient { get; }

        /// <summary>e^c_i S0^T dy_i transposed, [N, Block].</summary>
        public float* StateRead { get; }

        /// <summary>x transposed, then times the weights in the end state, [HeadSize, Block].</summary>
        public float* InputTransposed { get; }

        /// <summary>e^c_i dy_i transposed, [HeadSize, Block].</summary>
        public float* SlopeTransposed { get; }

        /// <summary>dy, [Block, P].</summary>
        public float* Slope { get; }

        /// <summary>e^c_i dy_i, [Block, P].</summary>
        public float* Weighted { get; }

        /// <summary>The part of z from within the chunk, [Block, P].</summary>
        public float* Inner { get; }

        /// <summary>G B_j, [Block, P].</summary>
        public float* Outer { get; }

        /// <summary>G of each head of the block, transposed, [N, P].</summary>
        public float* Gradients { get; }

        /// <summary>Two numbers for each token.</summary>
        public float* PerToken { get; }

        /// <summary>e^c_i dy_i . S0 C_i.</summary>
        public float* ReadSums { get; }

        /// <summary>Sums of Q that pass from before a token to behind it.</summary>
        public float* Straddling { get; }

        public ChunkDecays Decays { get; }

        public static long Size(in StateSpaceSizes s) =>
            (4L * Square) + (6L * s.StateSize * Block) + (2L * s.HeadSize * Block) + (4L * s.Panel) + ((long)HeadsAtOnce * s.PaddedState)
            + (4 * Block) + ChunkDecays.Size;
    }
}
