namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Sizes of an attention cut into blocks, and the packing of keys and values into them.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>Rows of one head and block of keys or values, padded to whole registers and a whole block.</summary>
    /// <param name="s">Sizes.</param>
    /// <param name="panel">Number of the panel: block within key head within sequence.</param>
    /// <param name="x">All keys, or all values.</param>
    /// <param name="headSize">Elements of one head of x.</param>
    /// <param name="packed">[Block, headSize in whole registers].</param>
    private static void Pack(in AttentionSizes s, int panel, float* x, int headSize, float* packed)
    {
        int rows = s.KeyRows(panel, x, headSize, out float* source), padded = InRegisters(headSize), stride = s.KeyValueHeads * headSize;
        for (int r = 0; r < Block; r++) PackRow(source + ((long)r * stride), r < rows ? headSize : 0, packed + (r * padded), padded);
    }

    /// <summary>The same transposed: [headSize, Block].</summary>
    private static void PackTransposed(in AttentionSizes s, int panel, float* x, int headSize, float* packed)
    {
        int rows = s.KeyRows(panel, x, headSize, out float* source), stride = s.KeyValueHeads * headSize;
        if (rows < Block) new Span<float>(packed, headSize * Block).Clear();
        for (int d = 0; d < headSize; d++)
        {
            float* target = packed + (d * Block);
            for (int r = 0; r < rows; r++) target[r] = source[((long)r * stride) + d];
        }
    }

    private static void PackRow(float* source, int n, float* packed, int padded)
    {
        new ReadOnlySpan<float>(source, n).CopyTo(new Span<float>(packed, n));
        new Span<float>(packed + n, padded - n).Clear();
    }

    /// <summary>A head size in whole registers.</summary>
    private static int InRegisters(int headSize) => (headSize + V.Count - 1) / V.Count * V.Count;

    private readonly struct AttentionSizes(in AttentionShape shape, in AttentionTerms terms)
    {
        private readonly AttentionShape _shape = shape;
        private readonly int _biasColumns = terms.KeyBias?.Columns ?? 0;

        /// <summary>Biases of keys [heads, columns], or null.</summary>
        public readonly float* KeyBias = terms.KeyBias is null ? null : terms.KeyBias.Pointer;

        /// <summary>Score of each head's sink, or null.</summary>
        public readonly float* Sinks = terms.Sinks is null ? null : terms.Sinks.Pointer;
        public readonly int Batch = shape.Batch;
        public readonly int QueryLength = shape.QueryLength;
        public readonly int KeyLength = shape.KeyLength;
        public readonly int Heads = shape.Heads;
        public readonly int KeyValueHeads = shape.KeyValueHeads;
        public readonly int HeadSize = shape.HeadSize;
        public readonly int ValueHeadSize = shape.ValueHeadSize;
        public readonly float Scale = shape.Scale;
        public readonly float SoftCap = shape.SoftCap;

        /// <summary>Query heads of one key head.</summary>
        public readonly int Group = shape.Heads / shape.KeyValueHeads;

        /// <summary>Position of the first query.</summary>
        public readonly int Offset = shape.KeyLength - shape.QueryLength;

        /// <summary>Size of a query or key head in whole registers.</summary>
        public readonly int Padded = InRegisters(shape.HeadSize);

        /// <summary>Size of a value head in whole registers.</summary>
        public readonly int ValuePadded = InRegisters(shape.ValueHeadSize);
        public readonly int QueryBlocks = (shape.QueryLength + Block - 1) / Block;
        public readonly int KeyBlocks = (shape.KeyLength + Block - 1) / Block;

        public int QueryStride => Heads * HeadSize;

        public int KeyStride => KeyValueHeads * HeadSize;

        public int ValueStride => KeyValueHeads * ValueHeadSize;

        /// <summary>Floats of a packed block of keys.</summary>
        public int Panel => Block * Padded;

        /// <summary>Floats of a packed block of values.</summary>
        public int ValuePanel => Block * ValuePadded;

        /// <summary>Floats of a packed transposed block of keys.</summary>
        public int TransposedPanel => Block * HeadSize;

        /// <summary>Floats of a packed transposed block of values.</summary>
        public int TransposedValuePanel => Block * ValueHeadSize;

        /// <summary>The first key that the query at a position sees.</summary>
        public int FirstKey(int position) => _shape.FirstKey(position);

        /// <summary>Blocks of keys that any of these queries sees.</summary>
        public (int First, int End) VisibleBlocks(int query, int rows)
        {
            int position = query + Offset;
            return (FirstKey(position) / Block, ((position + rows - 1) / Block) + 1);
        }

        /// <summary>The last key of a block that a query sees, counted from the block's first; what query i after it sees lies i further.</summary>
        public int LastKey(int query, int block) => query + Offset - (block * Block);

        /// <summary>Keys of a block that a query sees, counted from the block's first.</summary>
        public (int Low, int High) VisibleKeys(int query, int block) =>
            (Math.Max(0, FirstKey(query + Offset) - (block * Block)), Math.Min(Block, LastKey(query, block) + 1));

        /// <summary>Biases of a head for the keys of a block and on, or null.</summary>
        public float* Bias(int head, int block) => KeyBias == null ? null : KeyBias + ((long)head * _biasColumns) + (block * Block);

        /// <summary>First row of the keys (or values) of a panel, and how many rows are there.</summary>
        public int KeyRows(int panel, float* x, int headSize, out float* source)
        {
            int block = panel % KeyBlocks, head = panel / KeyBlocks % KeyValueHeads, batch = panel / KeyBlocks / KeyValueHeads;
            long row = ((long)batch * KeyLength) + ((long)block * Block);
            source = x + (row * KeyValueHeads * headSize) + (head * headSize);
            return Math.Min(Block, KeyLength - (block * Block));
        }
    }
}
