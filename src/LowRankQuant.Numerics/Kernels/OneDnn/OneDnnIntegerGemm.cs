using LowRankQuant.Numerics.Kernels.Simd.Integers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.OneDnn;

/// <summary>
/// Products of integer codes by oneDNN, with instructions that multiply bytes exactly. The unsigned codes of the weight come first and the signed ones of the activations second, as the
/// library wants its operands, so that codes are read where they lie: it computes sums for outputs by rows, which are turned while they become floats. Every tile is one thread's, run by
/// run, as <see cref="IntegerProductArguments"/> has it.
/// </summary>
/// <param name="library">The library; its instructions are exact.</param>
/// <param name="pool">Threads.</param>
/// <param name="managed">For products that our own tiles compute faster.</param>
/// <param name="least">Multiply-adds, and inputs of a run, from which on the library is faster; null for what was measured.</param>
internal sealed unsafe class OneDnnIntegerGemm(OneDnnLibrary library, WorkerPool pool, IntegerGemm managed, (long Work, int Run)? least = null) : IIntegerGemm
{
    // Sums of a tile stay in the second-level cache.
    private const int TileRows = 256, TileOutputs = 256;

    // Multiply-adds, and inputs of a run, below which our own tiles are as fast or faster: docs/results/integer-products.md.
    private const long ManagedBelow = 4 * 1024 * 1024;
    private const int ShortRun = 1024;
    private readonly (long Work, int Run) _least = least ?? (ManagedBelow, ShortRun);
    private readonly ScratchPool _scratch = new();

    /// <inheritdoc/>
    public string Name => library.Name;

    /// <summary>Whether a library's sums of products of bytes are exact: without such instructions it adds pairs in 16 bits, which may overflow.</summary>
    public static bool IsExact(OneDnnLibrary library) => library.Instructions.HasFlag(OneDnnLibrary.Isa.Vnni) || library.Instructions.HasFlag(OneDnnLibrary.Isa.Avx2Vnni);

    /// <inheritdoc/>
    public void Multiply(CodedActivations x, UniformWeight weight, float* y)
    {
        var runs = new RunCuts(weight.EffectiveGroupSize, weight.InFeatures);
        if ((long)x.Rows * weight.OutFeatures * weight.InFeatures < _least.Work || runs.Count == 0 || runs.LengthOf(0) < _least.Run)
        {
            managed.Multiply(x, weight, y);
            return;
        }
        int rowTiles = (x.Rows + TileRows - 1) / TileRows, outputTiles = (weight.OutFeatures + TileOutputs - 1) / TileOutputs;
        using ScratchPool.Lease rowSums = _scratch.Rent((long)x.Rows * runs.Count);
        fixed (sbyte* codes = x.Codes)
        fixed (byte* weightCodes = weight.Codes)
        {
            var job = new Job(x, weight, runs, codes, weightCodes, (int*)rowSums.Pointer, y);
            pool.Run(rowTiles, tile => SumRows(job, tile * TileRows));
            pool.Run(rowTiles * outputTiles, index => Tile(job, index / outputTiles * TileRows, index % outputTiles * TileOutputs));
        }
    }

    // Sums of the signed codes of rows, [rows, runs].
    private static void SumRows(Job job, int first)
    {
        int columns = job.X.Columns, runs = job.Runs.Count;
        for (int row = first; row < Math.Min(first + TileRows, job.X.Rows); row++)
        {
            for (int run = 0; run < runs; run++)
            {
                int length = job.Runs.LengthOf(run);
                job.RowSums[((long)row * runs) + run] = IntegerPack.Sum((byte*)job.Codes + ((long)row * columns) + job.Runs.StartOf(run), length, 0x80) - (128 * length);
            }
        }
    }

    private void Tile(Job job, int firstRow, int firstOutput)
    {
        int rows = Math.Min(TileRows, job.X.Rows - firstRow), outputs = Math.Min(TileOutputs, job.Weight.OutFeatures - firstOutput), columns = job.X.Columns, runs = job.Runs.Count;
        using ScratchPool.Lease lease = _scratch.Rent(2L * TileRows * TileOutputs);
        int* sums = (int*)lease.Pointer;
        float* partial = lease.Pointer + (TileRows * TileOutputs);
        for (int run = 0; run < runs; run++)
        {
            int start = job.Runs.StartOf(run), length = job.Runs.LengthOf(run);
            OneDnnProduct product = library.Product(new OneDnnShape(outputs, rows, length)
            {
                SourceType = OneDnnLibrary.UInt8,
                WeightsType = OneDnnLibrary.Int8,
                DestinationType = OneDnnLibrary.Int32,
                SourceRow = columns,
                SourceColumn = 1,
                WeightsRow = 1,
                WeightsColumn = columns,
                DestinationRow = rows,
            });
            using ScratchPool.Lease scratch = _scratch.Rent((product.ScratchBytes + sizeof(float) - 1) / sizeof(float));
            byte* weights = job.WeightCodes + ((long)firstOutput * columns) + start;
            library.Execute(product, weights, job.Codes + ((long)firstRow * columns) + start, sums, scratch.Pointer);
            for (int output = 0; output < outputs; output++)
            {
                (float scale, int zero) = job.Weight.GroupOf(firstOutput + output, job.Runs.GroupOf(run));
                int sum = IntegerPack.Sum(weights + ((long)output * columns), length, 0);
                Scale(job, firstRow, rows, run, scale, zero, sum - (length * zero), sums + (output * rows), partial + (output * TileRows));
            }
        }
        float* target = job.Y + ((long)firstRow * job.Weight.OutFeatures) + firstOutput;
        for (int row = 0; row < rows; row++, target += job.Weight.OutFeatures)
        {
            float step = job.Steps[firstRow + row];
            for (int output = 0; output < outputs; output++) target[output] = partial[(output * TileRows) + row] * step;
        }
    }

    /// <summary>t = sum u q - z_w sum q - z_x (sum u - K z_w) of one output, which may wrap on the way as t itself does not; then t s_w, or fma(t, s_w, before).</summary>
    private static void Scale(Job job, int firstRow, int rows, int run, float scale, int zero, int centred, int* sums, float* partial)
    {
        int runs = job.Runs.Count;
        for (int row = 0; row < rows; row++)
        {
            int t = sums[row] - (zero * job.RowSums[((long)(firstRow + row) * runs) + run]) - (job.Zeros[firstRow + row] * centred);
            partial[row] = run == 0 ? t * scale : MathF.FusedMultiplyAdd(t, scale, partial[row]);
        }
    }

    private sealed class Job
    {
        public Job(CodedActivations x, UniformWeight weight, RunCuts runs, sbyte* codes, byte* weightCodes, int* rowSums, float* y)
        {
            (X, Weight, Runs) = (x, weight, runs);
            Codes = codes;
            WeightCodes = weightCodes;
            RowSums = rowSums;
            Y = y;
            (Steps, Zeros) = (new float[x.Rows], new int[x.Rows]);
            for (int row = 0; row < x.Rows; row++) (Steps[row], Zeros[row]) = x.Row(row);
        }

        public CodedActivations X { get; }

        public UniformWeight Weight { get; }

        public RunCuts Runs { get; }

        public sbyte* Codes { get; }

        public byte* WeightCodes { get; }

        /// <summary>Sums of codes, [rows, runs].</summary>
        public int* RowSums { get; }

        public float* Y { get; }

        /// <summary>s_x, [rows].</summary>
        public float[] Steps { get; }

        /// <summary>Signed codes that stand for 0, [rows].</summary>
        public int[] Zeros { get; }
    }
}
