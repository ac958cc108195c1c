using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>Products of codes with one kind of tile; <see cref="IntegerDriver{TTile}"/> is the implementation.</summary>
internal abstract unsafe class IntegerDriver
{
    /// <summary>y = x^ W^ transposed, see <see cref="IntegerProductArguments"/>; nothing is empty.</summary>
    /// <param name="x">Activations.</param>
    /// <param name="weight">Weight.</param>
    /// <param name="y">[rows, outFeatures].</param>
    /// <param name="flush">See <see cref="IIntegerTile.Multiply"/>.</param>
    /// <param name="pool">Threads, or null for the calling one alone.</param>
    public abstract void Multiply(CodedActivations x, UniformWeight weight, float* y, int flush, WorkerPool? pool);
}

/// <summary>
/// The loops around a tile. Activations are packed by blocks of rows, then every panel of outputs is a chunk of work of its own, whose thread packs it and lets it pass by all
/// rows of the block: a panel stays in the second-level cache, and packing costs little beside hundreds of rows.
/// </summary>
internal sealed unsafe class IntegerDriver<TTile> : IntegerDriver
    where TTile : struct, IIntegerTile
{
    // A panel is packed once for so many rows.
    private const int RowBlock = 1032;
    private readonly ScratchPool _scratch = new();

    public override void Multiply(CodedActivations x, UniformWeight weight, float* y, int flush, WorkerPool? pool)
    {
        var runs = new RunCuts(weight.EffectiveGroupSize, weight.InFeatures);
        int blocks = (x.Rows + RowBlock - 1) / RowBlock, tiles = (((x.Rows + blocks - 1) / blocks) + TTile.Rows - 1) / TTile.Rows;
        int[] words = [.. Enumerable.Range(0, runs.Count).Select(run => Words(runs.LengthOf(run)))];
        long panel = (long)words.Sum() * TTile.Rows, terms = (long)tiles * TTile.Rows;
        using ScratchPool.Lease packed = _scratch.Rent(panel * tiles), steps = _scratch.Rent(terms), zeros = _scratch.Rent(terms), sums = _scratch.Rent(terms * runs.Count);
        fixed (sbyte* codes = x.Codes)
        fixed (byte* weightCodes = weight.Codes)
        {
            for (int row = 0; row < x.Rows; row += tiles * TTile.Rows)
            {
                int rows = Math.Min(tiles * TTile.Rows, x.Rows - row);
                var job = new Job(x, weight, runs, words, row, rows, (byte*)codes, weightCodes, (int*)packed.Pointer, steps.Pointer, (int*)zeros.Pointer, (int*)sums.Pointer, y, flush);
                int rowTiles = (rows + TTile.Rows - 1) / TTile.Rows, columnTiles = (weight.OutFeatures + TTile.Columns - 1) / TTile.Columns;
                // Some tiles at a time: handing out work costs more than packing a short one.
                const int share = 4;
                ForEach(pool, (rowTiles + share - 1) / share, chunk =>
                {
                    for (int tile = chunk * share; tile < Math.Min(rowTiles, (chunk + 1) * share); tile++) PackRows(job, tile);
                });
                ForEach(pool, columnTiles, tile => Panel(job, tile));
            }
        }
    }

    private static int Words(int length) => (length + TTile.CodesPerWord - 1) / TTile.CodesPerWord;

    private static void ForEach(WorkerPool? pool, int chunks, Action<int> body)
    {
        if (pool is not null) pool.Run(chunks, body);
        else for (int chunk = 0; chunk < chunks; chunk++) body(chunk);
    }

    // Pairs have their zero points taken off; bytes are unsigned codes, and their zero points and sums are kept.
    private static void PackRows(Job job, int tile)
    {
        int first = tile * TTile.Rows, rows = Math.Min(TTile.Rows, job.Rows - first), half = job.X.Grid.Half;
        int* taken = stackalloc int[TTile.Rows];
        for (int r = 0; r < TTile.Rows; r++)
        {
            (float step, int zero) = r < rows ? job.X.Row(job.Row + first + r) : (0, 0);
            job.Steps[first + r] = step;
            job.Zeros[first + r] = zero + half;
            // Flipped, codes are 128 larger: of fewer bits they are then still above 0.
            taken[r] = TTile.CodesPerWord == 2 ? zero + 128 : 128 - half;
        }
        int* panel = job.Packed + ((long)tile * job.Words * TTile.Rows);
        nint stride = job.X.Columns;
        byte* codes = job.Codes + ((job.Row + first) * stride);
        for (int run = 0; run < job.Runs.Count; run++)
        {
            int start = job.Runs.StartOf(run), length = job.Runs.LengthOf(run);
            IntegerPack.Run(codes + start, stride, rows, length, TTile.CodesPerWord, 0x80, taken, panel, TTile.Rows);
            panel += Words(length) * TTile.Rows;
            if (TTile.CodesPerWord == 2) continue;
            int* sums = job.Sums + ((long)((tile * job.Runs.Count) + run) * TTile.Rows);
            // Less the zero point, which then needs no term of its own.
            for (int r = 0; r < rows; r++) sums[r] = IntegerPack.Sum(codes + (r * stride) + start, length, 0x80) - (length * (taken[r] + job.Zeros[first + r]));
        }
    }

    private void Panel(Job job, int tile)
    {
        int[] words = job.RunWords;
        int first = tile * TTile.Columns, columns = Math.Min(TTile.Columns, job.Weight.OutFeatures - first), runs = job.Runs.Count;
        using ScratchPool.Lease packed = _scratch.Rent((long)job.Words * TTile.Columns), terms = _scratch.Rent(3L * runs * TTile.Columns);
        PackColumns(job, first, columns, (int*)packed.Pointer, terms.Pointer);
        int* sums = stackalloc int[TTile.Rows * TTile.Columns];
        // Runs are added up here: rows of y may be apart by what throws each other out of the first-level cache.
        float* partial = stackalloc float[TTile.Rows * TTile.Columns];
        for (int row = 0; row < job.Rows; row += TTile.Rows)
        {
            int rows = Math.Min(TTile.Rows, job.Rows - row);
            int* a = job.Packed + ((long)row * job.Words), b = (int*)packed.Pointer;
            float* target = job.Y + ((nint)(job.Row + row) * job.Weight.OutFeatures) + first;
            for (int run = 0; run < runs; run++)
            {
                TTile.Multiply(words[run], a, b, job.Flush, sums);
                bool last = run == runs - 1, direct = last && columns == TTile.Columns;
                float* scales = terms.Pointer + (run * 3 * TTile.Columns);
                int* rowSums = job.Sums + ((long)(((row / TTile.Rows) * runs) + run) * TTile.Rows);
                var scaling = new TileScaling
                {
                    Sums = sums,
                    Rows = rows,
                    Columns = TTile.Columns,
                    Scales = scales,
                    RowZeros = TTile.CodesPerWord == 2 ? null : job.Zeros + row,
                    RowSums = rowSums,
                    ColumnZeros = job.Weight.Grid.Symmetric ? null : (int*)scales + TTile.Columns,
                    ColumnSums = (int*)scales + (2 * TTile.Columns),
                    Steps = last ? job.Steps + row : null,
                    First = run == 0,
                };
                scaling.Apply(partial, direct ? target : partial, direct ? job.Weight.OutFeatures : TTile.Columns);
                a += words[run] * TTile.Rows;
                b += words[run] * TTile.Columns;
            }
            if (columns == TTile.Columns) continue;
            for (int r = 0; r < rows; r++) new Span<float>(partial + (r * TTile.Columns), columns).CopyTo(new Span<float>(target + ((nint)r * job.Weight.OutFeatures), columns));
        }
    }

    /// <summary>A panel of the weight, and for every run its scales, zero points and sums of codes, [runs, 3, Columns]; those that are not there are 0.</summary>
    private static void PackColumns(Job job, int first, int columns, int* panel, float* terms)
    {
        int half = job.Weight.Grid.SymmetricZero;
        nint stride = job.Weight.InFeatures;
        byte* codes = job.WeightCodes + (first * stride);
        int* taken = stackalloc int[TTile.Columns];
        for (int run = 0; run < job.Runs.Count; run++, terms += 3 * TTile.Columns)
        {
            int start = job.Runs.StartOf(run), length = job.Runs.LengthOf(run);
            int* zeros = (int*)terms + TTile.Columns, sums = zeros + TTile.Columns;
            new Span<float>(terms, 3 * TTile.Columns).Clear();
            for (int c = 0; c < columns; c++)
            {
                (terms[c], int zero) = job.Weight.GroupOf(first + c, job.Runs.GroupOf(run));
                zeros[c] = zero - half;
                taken[c] = TTile.CodesPerWord == 2 ? zero : half;
                if (TTile.CodesPerWord == 4) sums[c] = IntegerPack.Sum(codes + (c * stride) + start, length, 0) - (length * half);
            }
            IntegerPack.Run(codes + start, stride, columns, length, TTile.CodesPerWord, 0, taken, panel, TTile.Columns);
            panel += Words(length) * TTile.Columns;
        }
    }

    /// <summary>A block of rows with everything that its chunks need.</summary>
    private sealed class Job(
        CodedActivations x, UniformWeight weight, RunCuts runs, int[] words, int row, int rows, byte* codes, byte* weightCodes, int* packed, float* steps, int* zeros, int* sums,
        float* y, int flush)
    {
        public CodedActivations X => x;

        public UniformWeight Weight => weight;

        public RunCuts Runs => runs;

        /// <summary>Words of all runs of a row.</summary>
        public int Words { get; } = words.Sum();

        /// <summary>Words of every run.</summary>
        public int[] RunWords => words;

        /// <summary>First row.</summary>
        public int Row => row;

        public int Rows => rows;

        public byte* Codes => codes;

        public byte* WeightCodes => weightCodes;

        /// <summary>Activations, [tiles, words, Rows of a tile].</summary>
        public int* Packed => packed;

        public float* Steps => steps;

        /// <summary>Unsigned codes that stand for 0.</summary>
        public int* Zeros => zeros;

        /// <summary>Sums of codes less their zero points, [tiles, runs, Rows of a tile].</summary>
        public int* Sums => sums;

        public float* Y => y;

        public int Flush => flush;
    }
}
