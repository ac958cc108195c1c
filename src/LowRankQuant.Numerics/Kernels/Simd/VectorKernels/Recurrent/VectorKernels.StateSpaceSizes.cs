using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Sizes of Mamba-2's recurrence cut into chunks and blocks of heads, and the decays within a chunk.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>
    /// Heads of a group whose chunks are worked on in turns by one thread, so that they share the products of C and B: more share more, fewer leave
    /// more work to hand out.
    /// </summary>
    private const int HeadsAtOnce = 4;

    private static float* Address(Tensor? x) => x is null ? null : x.Pointer;

    /// <summary>Rows of n elements into whole registers, as they are and times a factor each: both [rows, padded].</summary>
    private static void PackScaled(float* x, long stride, int rows, int n, float* factors, float* packed, float* scaled, int padded)
    {
        for (int r = 0; r < rows; r++)
        {
            V factor = V.Create(factors[r]);
            for (int j = 0; j < padded; j += V.Count)
            {
                V value = V.Load(x + j, n - j);
                value.Store(packed + j);
                (factor * value).Store(scaled + j);
            }
            x += stride;
            packed += padded;
            scaled += padded;
        }
    }

    /// <summary>Rows of n elements side by side: [rows, n].</summary>
    private static void Gather(float* x, long stride, int rows, int n, float* y)
    {
        for (int r = 0; r < rows; r++)
        {
            for (int j = 0; j < n; j += V.Count) V.Load(x + j, n - j).Store(y + j, n - j);
            x += stride;
            y += n;
        }
    }

    /// <summary>
    /// Asks for rows of n elements that will be wanted a while later. A head's part of a row is too short, and the next too far, for the processor to
    /// see it coming by itself.
    /// </summary>
    private static void Prefetch(float* x, long stride, int rows, int n)
    {
        if (!Sse.IsSupported) return;
        const int line = 16;
        for (int r = 0; r < rows; r++)
        {
            for (int j = 0; j < n; j += line) Sse.Prefetch1(x + (r * stride) + j);
        }
    }

    /// <summary>Rows in whole registers [rows, padded] back into rows of n elements.</summary>
    private static void Unpack(float* packed, int padded, int rows, int n, float* y, long stride)
    {
        for (int r = 0; r < rows; r++)
        {
            for (int j = 0; j < n; j += V.Count) V.Load(packed + j).Store(y + j, n - j);
            packed += padded;
            y += stride;
        }
    }

    private readonly struct StateSpaceSizes(in StateSpaceShape shape, in ScanInputs inputs)
    {
        public readonly int Batch = shape.Batch;
        public readonly int Length = shape.Length;
        public readonly int Heads = shape.Heads;
        public readonly int Groups = shape.Groups;
        public readonly int HeadSize = shape.HeadSize;
        public readonly int StateSize = shape.StateSize;
        public readonly int Chunks = shape.Chunks;
        public readonly float* X = inputs.X.Pointer;
        public readonly float* B = inputs.B.Pointer;
        public readonly float* C = inputs.C.Pointer;
        public readonly float* StepSizes = inputs.StepSizes.Pointer;
        public readonly float* A = inputs.A.Pointer;
        public readonly float* D = inputs.D.Pointer;

        /// <summary>Heads of a group.</summary>
        public readonly int Group = shape.Heads / shape.Groups;

        /// <summary>Blocks of heads of a group.</summary>
        public readonly int HeadBlocks = ((shape.Heads / shape.Groups) + HeadsAtOnce - 1) / HeadsAtOnce;

        /// <summary>Size of a head in whole registers.</summary>
        public readonly int Padded = InRegisters(shape.HeadSize);

        /// <summary>Pieces of work: blocks of heads of all groups and sequences.</summary>
        public int Items => Batch * Groups * HeadBlocks;

        /// <summary>Floats between rows of x and y.</summary>
        public int Stride => Heads * HeadSize;

        /// <summary>Floats between rows of B and C.</summary>
        public int SharedStride => Groups * StateSize;

        /// <summary>Tokens of a chunk, none behind the last.</summary>
        public int Rows(int chunk) => Math.Clamp(Length - (chunk * Block), 0, Block);

        /// <summary>Floats of the state of one head.</summary>
        public int State => HeadSize * StateSize;

        /// <summary>Floats of a transposed state [StateSize, Padded].</summary>
        public int PaddedState => StateSize * Padded;

        /// <summary>Floats of one chunk of a head, [Block, Padded].</summary>
        public int Panel => Block * Padded;

        /// <summary>Sequence, group, first head and number of heads of a piece of work.</summary>
        public (int Batch, int Group, int Head, int Count) Item(int item)
        {
            int block = item % HeadBlocks, group = item / HeadBlocks % Groups;
            return (item / HeadBlocks / Groups, group, (group * Group) + (block * HeadsAtOnce), Math.Min(HeadsAtOnce, Group - (block * HeadsAtOnce)));
        }
    }

    /// <summary>
    /// Decays of a head within one chunk of L tokens, c_i = dt_1 A + .. + dt_i A. The sums are kept as two floats each: what is wanted are differences,
    /// often small ones of large sums. Entries behind the last token are zero.
    /// </summary>
    private readonly struct ChunkDecays(float* memory)
    {
        /// <summary>Floats of memory.</summary>
        public const int Size = 6 * Block;

        /// <summary>c_i, rounded.</summary>
        private readonly float* _sum = memory;

        /// <summary>What the rounding of c_i left.</summary>
        private readonly float* _rest = memory + Block;

        /// <summary>e^c_i: what is left of the start state at token i.</summary>
        public readonly float* FromStart = memory + (2 * Block);

        /// <summary>e^(c_L - c_j): what is left of token j at the end.</summary>
        public readonly float* ToEnd = memory + (3 * Block);

        /// <summary>dt_j.</summary>
        public readonly float* StepSizes = memory + (4 * Block);

        /// <summary>e^(c_L - c_j) dt_j: the weight of x_j B_j^T in the end state.</summary>
        public readonly float* Weights = memory + (5 * Block);

        /// <summary>e^c_L.</summary>
        public float Whole(int rows) => FromStart[rows - 1];

        public void Fill(in StateSpaceSizes s, long row, int head, int rows)
        {
            new Span<float>(_sum, Size).Clear();
            float* steps = s.StepSizes + (row * s.Heads) + head;
            double rate = s.A[head], sum = 0;
            for (int i = 0; i < rows; i++)
            {
                StepSizes[i] = steps[(long)i * s.Heads];
                sum += StepSizes[i] * rate;
                _sum[i] = (float)sum;
                _rest[i] = (float)(sum - _sum[i]);
            }
            V last = V.Create(_sum[rows - 1]), lastRest = V.Create(_rest[rows - 1]);
            for (int i = 0; i < rows; i += V.Count)
            {
                V c = V.Load(_sum + i), rest = V.Load(_rest + i), toEnd = SimdMath.Exp(V.Min(V.Zero, last - c + (lastRest - rest)));
                SimdMath.Exp(c + rest).Store(FromStart + i);
                toEnd.Store(ToEnd + i);
                (toEnd * V.Load(StepSizes + i)).Store(Weights + i);
            }
        }

        /// <summary>e^(c_i - c_j) for the j of a register; meaningless, but finite, for j above i.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V Between(int i, int j) =>
            SimdMath.Exp(V.Min(V.Zero, V.Create(_sum[i]) - V.Load(_sum + j) + (V.Create(_rest[i]) - V.Load(_rest + j))));
    }
}
