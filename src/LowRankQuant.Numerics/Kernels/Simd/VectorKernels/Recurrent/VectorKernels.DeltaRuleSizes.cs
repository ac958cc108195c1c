namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Sizes of the gated delta rule, where the rows of a head lie, and the memory in which a chunk of one head is worked on.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    private readonly struct DeltaRuleSizes(in DeltaRuleShape shape, in DeltaRuleTerms terms)
    {
        public readonly int Batch = shape.Batch;
        public readonly int Length = shape.Length;
        public readonly int KeyHeads = shape.KeyHeads;
        public readonly int ValueHeads = shape.ValueHeads;
        public readonly int KeySize = shape.KeySize;
        public readonly int ValueSize = shape.ValueSize;
        public readonly bool ChannelDecay = shape.ChannelDecay;
        public readonly int Chunks = shape.Chunks;

        /// <summary>Value heads of one key head.</summary>
        public readonly int Group = shape.ValueHeads / shape.KeyHeads;

        /// <summary>Sizes of a key and of a value in whole registers.</summary>
        public readonly int KeyPadded = InRegisters(shape.KeySize);
        public readonly int ValuePadded = InRegisters(shape.ValueSize);

        /// <summary>Floats between the rows of a state, and of a transposed one.</summary>
        public readonly int StateStride = Spread(InRegisters(shape.ValueSize));
        public readonly int TransposedStride = Spread(InRegisters(shape.KeySize));

        /// <summary>Multiplies a normalised query.</summary>
        public readonly float QueryFactor = 1 / MathF.Sqrt(shape.KeySize);
        public readonly float* Query = terms.Q.Pointer;
        public readonly float* Key = terms.K.Pointer;
        public readonly float* Value = terms.V.Pointer;
        public readonly float* LogDecay = terms.LogDecay.Pointer;
        public readonly float* Beta = terms.Beta.Pointer;

        // Rows of 512 bytes or a multiple all fall into the same few sets of the nearest cache; a product walks down 128 of them.
        private static int Spread(int padded) => padded % 128 == 0 ? padded + 16 : padded;

        /// <summary>Sequences times value heads.</summary>
        public int Heads => Batch * ValueHeads;

        /// <summary>Tokens of a chunk.</summary>
        public int ChunkRows(int chunk) => Math.Min(DeltaRuleShape.Chunk, Length - (chunk * DeltaRuleShape.Chunk));

        /// <summary>Number of the row [batch, token, value head] of token t of a head [batch, value head].</summary>
        public long Row(int head, int t) => ((((long)(head / ValueHeads) * Length) + t) * ValueHeads) + (head % ValueHeads);

        /// <summary>First element, within q or k, of what the head's token t reads.</summary>
        public long KeyAt(int head, int t) => ((((long)(head / ValueHeads) * Length) + t) * KeyHeads * KeySize) + (head % ValueHeads / Group * KeySize);

        /// <summary>First element, within the log decay, of the head's token t.</summary>
        public long DecayAt(int head, int t) => Row(head, t) * (ChannelDecay ? KeySize : 1);

        /// <summary>First element of the head's state, within a start or an end.</summary>
        public long StateAt(int head) => (long)head * KeySize * ValueSize;

        /// <summary>First element of the head's state before a chunk, within the kept states.</summary>
        public long StateAt(int head, int chunk) =>
            (((((long)(head / ValueHeads) * Chunks) + chunk) * ValueHeads) + (head % ValueHeads)) * KeySize * ValueSize;
    }

    /// <summary>
    /// Matrices of a chunk of C tokens: of keys [C, KeyPadded], of values [C, ValuePadded], of pairs of tokens [C, C], states [KeySize, StateStride].
    /// Only the rows of tokens that are there are ever read.
    /// </summary>
    private readonly struct DeltaRuleMemory
    {
        private const int C = DeltaRuleShape.Chunk;

        /// <summary>S before the chunk.</summary>
        public readonly float* State;

        /// <summary>q^ and k^.</summary>
        public readonly float* Query, Key;

        /// <summary>e^(sum of log decays from the chunk's first token to this one), and from the next one to the chunk's last, per channel.</summary>
        public readonly float* Left, Right;

        /// <summary>q^ and -k^ times Left, k^ times Right.</summary>
        public readonly float* QueryLeft, KeyLeft, KeyRight;

        /// <summary>k^ with the tokens as columns, [KeySize, C].</summary>
        public readonly float* KeyTransposed;

        /// <summary>-k^_i k^_j and q^_i k^_j, decayed from token j to i.</summary>
        public readonly float* Scores, Weights;

        /// <summary>The decay from token j to i, one for all channels.</summary>
        public readonly float* Ratios;

        /// <summary>u, beta u and y.</summary>
        public readonly float* Unknown, Written, Output;

        /// <summary>Decay over the whole chunk, [KeyPadded], beta, [C], and work memory of max(KeyPadded, C).</summary>
        public readonly float* Decay, Beta, Line;

        /// <summary>With a decay per channel: e^g of every token, and its product from the first token of the sub-block on; q^ and -k^ times that.</summary>
        public readonly float* Steps, Sub, SubQuery, SubKey;

        /// <summary>Keys as the next sub-block sees them.</summary>
        public readonly float* Reached;

        /// <summary>The backward pass: dloss/dS after the chunk; it and S transposed, [ValueSize, TransposedStride].</summary>
        public readonly float* Gamma, GammaTransposed, StateTransposed;

        /// <summary>dy, dloss/d(beta u), beta times that, and beta u with the tokens as columns, [ValueSize, C].</summary>
        public readonly float* Slope, WrittenSlope, ValueSlope, WrittenTransposed;

        /// <summary>dloss/dq^, and dloss/dk^ where a key reads and where it is written.</summary>
        public readonly float* QuerySlope, ReadSlope, WriteSlope;

        /// <summary>Gradients of Scores and Weights; the diagonal of the latter, [C]; gradients that belong to the chunk's last token, [KeyPadded].</summary>
        public readonly float* ScoreSlope, WeightSlope, Diagonal, Last;

        /// <summary>Decays as the sub-blocks see them, and products before they are decayed.</summary>
        public readonly float* Reach, Part;

        private DeltaRuleMemory(in DeltaRuleSizes s, float* memory, bool backward, out long length)
        {
            float* next = memory;
            int keys = C * s.KeyPadded, values = C * s.ValuePadded, state = s.KeySize * s.StateStride;
            State = Take(state);
            Query = Take(keys);
            Key = Take(keys);
            Left = Take(keys);
            Right = Take(keys);
            QueryLeft = Take(keys);
            KeyLeft = Take(keys);
            KeyRight = Take(keys);
            KeyTransposed = Take(keys);
            Scores = Take(C * C);
            Weights = Take(C * C);
            Ratios = Take(C * C);
            Unknown = Take(values);
            Written = Take(values);
            Output = Take(values);
            Decay = Take(s.KeyPadded);
            Beta = Take(C);
            Line = Take(Math.Max(s.KeyPadded, C));
            if (s.ChannelDecay)
            {
                Steps = Take(keys);
                Sub = Take(keys);
                SubQuery = Take(keys);
                SubKey = Take(keys);
                Reached = Take(keys);
            }
            if (backward)
            {
                int transposed = s.ValueSize * s.TransposedStride;
                Gamma = Take(state);
                GammaTransposed = Take(transposed);
                StateTransposed = Take(transposed);
                Slope = Take(values);
                WrittenSlope = Take(values);
                ValueSlope = Take(values);
                WrittenTransposed = Take(values);
                QuerySlope = Take(keys);
                ReadSlope = Take(keys);
                WriteSlope = Take(keys);
                ScoreSlope = Take(C * C);
                WeightSlope = Take(C * C);
                Diagonal = Take(C);
                Last = Take(s.KeyPadded);
                if (s.ChannelDecay)
                {
                    Reach = Take(keys);
                    Part = Take(keys);
                }
            }
            length = next - memory;

            float* Take(int count)
            {
                float* taken = next;
                // Whole cache lines, so that the rows of all matrices begin where a register may be loaded at once.
                next += (count + 15) / 16 * 16;
                return taken;
            }
        }

        public static ScratchPool.Lease Rent(ScratchPool pool, in DeltaRuleSizes s, bool backward, out DeltaRuleMemory memory)
        {
            _ = new DeltaRuleMemory(s, null, backward, out long length);
            ScratchPool.Lease lease = pool.Rent(length);
            memory = new DeltaRuleMemory(s, lease.Pointer, backward, out _);
            return lease;
        }
    }
}
