using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Mamba-1's selective scan: the recurrence itself, a channel in every lane, so that no sum goes across lanes but those of dB and dC. A block of
/// channels of one sequence is one chunk of work; the states of a register of channels are [StateSize, lanes].
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>Channels of one piece of work: whole registers of any width, and enough to sum dB and dC over before the lanes are added up.</summary>
    private const int ChannelsAtOnce = 128;

    public void SelectiveScanForward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates)
    {
        var s = new SelectiveScanSizes(shape, inputs);
        float* before = Address(start), output = y.Pointer, after = Address(end), kept = Address(chunkStates);
        pool.Run(s.Batch * s.Blocks, item => ScanBlock(s, item, before, output, after, kept));
    }

    public void SelectiveScanBackward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients)
    {
        var s = new SelectiveScanSizes(shape, inputs);
        int items = s.Batch * s.Blocks;
        long part = (long)s.Length * s.StateSize;
        var rows = new StateSpaceRows(chunkStates.Pointer, dy.Pointer, gradients.X.Pointer, gradients.StepSizes.Pointer);
        float* db = gradients.B.Pointer, dc = gradients.C.Pointer;
        using ScratchPool.Lease lease = _scratch.Rent(2 * items * part);
        float* partialB = lease.Pointer, partialC = partialB + (items * part);
        pool.Run(items, item => ScanBlockBackward(s, item, rows, partialB + (item * part), partialC + (item * part)));
        ForRows(s.Batch * s.Length, 2 * s.StateSize * s.Blocks, (_, first, end) =>
        {
            for (int row = first; row < end; row++)
            {
                long from = (((long)(row / s.Length) * s.Blocks * s.Length) + (row % s.Length)) * s.StateSize, to = (long)row * s.StateSize;
                SumParts(partialB + from, part, s.Blocks, db + to, s.StateSize);
                SumParts(partialC + from, part, s.Blocks, dc + to, s.StateSize);
            }
        });
    }

    private void ScanBlock(in SelectiveScanSizes s, int item, float* start, float* y, float* end, float* kept)
    {
        int size = s.LaneState, batch = item / s.Blocks, n = s.StateSize;
        (int firstChannel, int lanes) = s.Lanes(item);
        using ScratchPool.Lease lease = _scratch.Rent(2L * lanes * size);
        float* states = lease.Pointer, rates = states + (lanes * size);
        for (int lane = 0; lane < lanes; lane++)
        {
            int channel = firstChannel + (lane * V.Count), left = Math.Min(V.Count, s.Channels - channel);
            LoadLanes(s.A + ((long)channel * n), left, n, rates + (lane * size));
            float* state = states + (lane * size);
            if (start == null) new Span<float>(state, size).Clear();
            else LoadLanes(start + ((((long)batch * s.Channels) + channel) * n), left, n, state);
        }
        for (int first = 0; first < s.Length; first += Block)
        {
            int count = Math.Min(Block, s.Length - first);
            long row = ((long)batch * s.Length) + first;
            for (int lane = 0; lane < lanes; lane++)
            {
                int channel = firstChannel + (lane * V.Count), left = s.Channels - channel;
                float* state = states + (lane * size);
                if (kept != null)
                {
                    float* to = s.Kept(kept, batch, first, channel);
                    for (int j = 0; j < n; j++) V.Load(state + (j * V.Count)).Store(to + ((long)j * s.Channels), left);
                }
                V skip = V.Load(s.D + channel, left);
                for (int t = 0; t < count; t++)
                {
                    long at = ((row + t) * s.Channels) + channel;
                    V input = V.Load(s.X + at, left), step = V.Load(s.StepSizes + at, left);
                    ScanToken(state, rates + (lane * size), step, step * input, s.B + ((row + t) * n), s.C + ((row + t) * n), n, skip * input).Store(y + at, left);
                }
            }
        }
        if (end == null) return;
        for (int lane = 0; lane < lanes; lane++)
        {
            int channel = firstChannel + (lane * V.Count), left = Math.Min(V.Count, s.Channels - channel);
            Transposition.Transpose(states + (lane * size), V.Count, n, left, end + ((((long)batch * s.Channels) + channel) * n), n);
        }
    }

    /// <summary>S = e^(dt A) S + dt x B; returns y + S . C.</summary>
    private static V ScanToken(float* state, float* rates, V step, V written, float* b, float* c, int n, V y)
    {
        V odd = V.Zero;
        int j = 0;
        for (; j <= n - 2; j += 2)
        {
            V s0 = V.MultiplyAdd(SimdMath.Exp(step * V.Load(rates)), V.Load(state), written * V.Create(b[j]));
            V s1 = V.MultiplyAdd(SimdMath.Exp(step * V.Load(rates + V.Count)), V.Load(state + V.Count), written * V.Create(b[j + 1]));
            s0.Store(state);
            s1.Store(state + V.Count);
            y = V.MultiplyAdd(s0, V.Create(c[j]), y);
            odd = V.MultiplyAdd(s1, V.Create(c[j + 1]), odd);
            state += 2 * V.Count;
            rates += 2 * V.Count;
        }
        if (j < n)
        {
            V s0 = V.MultiplyAdd(SimdMath.Exp(step * V.Load(rates)), V.Load(state), written * V.Create(b[j]));
            s0.Store(state);
            y = V.MultiplyAdd(s0, V.Create(c[j]), y);
        }
        return y + odd;
    }

    /// <summary>All chunks of a block of channels, last to first; db and dc [Length, StateSize] get the block's part.</summary>
    private void ScanBlockBackward(in SelectiveScanSizes s, int item, in StateSpaceRows rows, float* db, float* dc)
    {
        int size = s.LaneState, batch = item / s.Blocks, n = s.StateSize;
        (int firstChannel, int lanes) = s.Lanes(item);
        using ScratchPool.Lease lease = _scratch.Rent((2L * lanes * size) + (((4L * Block) + 1) * size));
        float* gradients = lease.Pointer, rates = gradients + (lanes * size), decays = rates + (lanes * size), sumsB = decays + (Block * size);
        float* sumsC = sumsB + (Block * size), states = sumsC + (Block * size);
        new Span<float>(gradients, lanes * size).Clear();
        for (int lane = 0; lane < lanes; lane++)
        {
            int channel = firstChannel + (lane * V.Count);
            LoadLanes(s.A + ((long)channel * n), Math.Min(V.Count, s.Channels - channel), n, rates + (lane * size));
        }
        for (int first = (s.Chunks - 1) * Block; first >= 0; first -= Block)
        {
            int count = Math.Min(Block, s.Length - first);
            long row = ((long)batch * s.Length) + first;
            Clear(sumsB, 2L * Block * size);
            for (int lane = 0; lane < lanes; lane++)
            {
                int channel = firstChannel + (lane * V.Count), left = s.Channels - channel;
                float* rate = rates + (lane * size), gradient = gradients + (lane * size), from = s.Kept(rows.Kept, batch, first, channel);
                for (int j = 0; j < n; j++) V.Load(from + ((long)j * s.Channels), left).Store(states + (j * V.Count));
                for (int t = 0; t < count; t++)
                {
                    long at = ((row + t) * s.Channels) + channel;
                    V step = V.Load(s.StepSizes + at, left), written = step * V.Load(s.X + at, left);
                    float* b = s.B + ((row + t) * n), state = states + (t * size), decay = decays + (t * size);
                    for (int j = 0; j < n; j++)
                    {
                        V e = SimdMath.Exp(step * V.Load(rate + (j * V.Count)));
                        e.Store(decay + (j * V.Count));
                        V.MultiplyAdd(e, V.Load(state + (j * V.Count)), written * V.Create(b[j])).Store(state + size + (j * V.Count));
                    }
                }
                V skip = V.Load(s.D + channel, left);
                for (int t = count - 1; t >= 0; t--)
                {
                    long at = ((row + t) * s.Channels) + channel;
                    V input = V.Load(s.X + at, left), step = V.Load(s.StepSizes + at, left), slope = V.Load(rows.Slope + at, left);
                    V product = ScanTokenBackward(
                        gradient, rate, decays + (t * size), states + (t * size), step * input, slope, s.B + ((row + t) * n), s.C + ((row + t) * n),
                        n, sumsB + (t * size), sumsC + (t * size), out V decayed);
                    V.MultiplyAdd(step, product, skip * slope).Store(rows.InputGradient + at, left);
                    V.MultiplyAdd(input, product, decayed).Store(rows.StepGradient + at, left);
                }
            }
            for (int i = 0; i < count * n; i++)
            {
                db[((long)first * n) + i] = V.Sum(V.Load(sumsB + (i * V.Count)));
                dc[((long)first * n) + i] = V.Sum(V.Load(sumsC + (i * V.Count)));
            }
        }
    }

    /// <summary>One token backwards: G += dy C, the parts of dB and dC, then G = e G. Returns G . B and the sum of A e G S before the token.</summary>
    private static V ScanTokenBackward(
        float* gradient, float* rates, float* decays, float* states, V written, V slope, float* b, float* c, int n, float* sumsB, float* sumsC,
        out V decayed)
    {
        V product = V.Zero, sum = V.Zero;
        float* after = states + (n * V.Count);
        for (int j = 0; j < n; j++)
        {
            int at = j * V.Count;
            V g = V.MultiplyAdd(slope, V.Create(c[j]), V.Load(gradient + at));
            V.MultiplyAdd(slope, V.Load(after + at), V.Load(sumsC + at)).Store(sumsC + at);
            V.MultiplyAdd(written, g, V.Load(sumsB + at)).Store(sumsB + at);
            product = V.MultiplyAdd(g, V.Create(b[j]), product);
            V left = V.Load(decays + at) * g;
            left.Store(gradient + at);
            sum = V.MultiplyAdd(V.Load(rates + at) * left, V.Load(states + at), sum);
        }
        decayed = sum;
        return product;
    }

    /// <summary>Rows of up to a register of channels, transposed: [n, lanes], zero behind the last channel.</summary>
    private static void LoadLanes(float* x, int channels, int n, float* lanes)
    {
        if (channels < V.Count) new Span<float>(lanes, n * V.Count).Clear();
        Transposition.Transpose(x, n, channels, n, lanes, V.Count);
    }

    private readonly struct SelectiveScanSizes(in SelectiveScanShape shape, in ScanInputs inputs)
    {
        public readonly int Batch = shape.Batch;
        public readonly int Length = shape.Length;
        public readonly int Channels = shape.Channels;
        public readonly int StateSize = shape.StateSize;
        public readonly int Chunks = shape.Chunks;
        public readonly float* X = inputs.X.Pointer;
        public readonly float* B = inputs.B.Pointer;
        public readonly float* C = inputs.C.Pointer;
        public readonly float* StepSizes = inputs.StepSizes.Pointer;
        public readonly float* A = inputs.A.Pointer;
        public readonly float* D = inputs.D.Pointer;

        /// <summary>Blocks of channels of a sequence.</summary>
        public readonly int Blocks = (shape.Channels + ChannelsAtOnce - 1) / ChannelsAtOnce;

        /// <summary>Floats of the states of a register of channels.</summary>
        public int LaneState => StateSize * V.Count;

        /// <summary>First channel of a piece of work, and its registers.</summary>
        public (int Channel, int Registers) Lanes(int item)
        {
            int channel = item % Blocks * ChannelsAtOnce;
            return (channel, InRegisters(Math.Min(ChannelsAtOnce, Channels - channel)) / V.Count);
        }

        /// <summary>The kept state of a channel at the start of the chunk that begins with a token; elements are Channels apart.</summary>
        public float* Kept(float* kept, int batch, int token, int channel) =>
            kept + (((((long)batch * Chunks) + (token / Block)) * StateSize * Channels) + channel);
    }
}
