using LowRankQuant.Numerics.Kernels.Simd.Functions;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// The kernels on registers V of floats and D of doubles. Work is cut by shape alone, chunks write memory of their own, and partial sums are added
/// in the order of the chunks: no result depends on the number of threads. Arguments have been checked by <see cref="CheckedKernels"/>.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>(WorkerPool pool, IGemm gemm, IIntegerGemm integers) : IKernels
    where V : struct, IVector<V>, IWidening<V, D>
    where D : struct, IDoubleVector<D>
{
    /// <summary>Elements of one chunk: enough to outweigh handing it out, few enough to stay in the nearest cache.</summary>
    private const int ChunkElements = 16384;

    private readonly ScratchPool _scratch = new();

    public string Name => $"simd {V.Name}, {gemm.Name} products";

    public void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        int m = transposeA ? a.Columns : a.Rows, k = transposeA ? a.Rows : a.Columns, n = transposeB ? b.Rows : b.Columns;
        if (m == 0 || n == 0) return;
        gemm.Multiply(transposeA, transposeB, m, n, k, a.Pointer, a.Columns, b.Pointer, b.Columns, c.Pointer, n, accumulate);
    }

    public void GramPanel(Tensor x, int column, Tensor y) =>
        gemm.Multiply(true, false, y.Rows, y.Columns, x.Rows, x.Pointer + column, x.Columns, x.Pointer + column, x.Columns, y.Pointer, y.Columns, accumulate: false);

    public bool HasHalf => gemm is IHalfGemm { HasInstructions: true };

    public void MatMulHalf(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        int m = transposeA ? a.Columns : a.Rows, k = transposeA ? a.Rows : a.Columns, n = transposeB ? b.Rows : b.Columns;
        if (m == 0 || n == 0) return;
        if (gemm is IHalfGemm half)
        {
            using ScratchPool.Lease left = _scratch.Rent((a.Count + 1) / 2), right = _scratch.Rent((b.Count + 1) / 2);
            Halves(a, (ushort*)left.Pointer);
            Halves(b, (ushort*)right.Pointer);
            half.MultiplyHalf(transposeA, transposeB, m, n, k, (ushort*)left.Pointer, a.Columns, (ushort*)right.Pointer, b.Columns, c.Pointer, n, accumulate);
            return;
        }
        using ScratchPool.Lease roundedA = _scratch.Rent(a.Count), roundedB = _scratch.Rent(b.Count);
        Rounded(a, roundedA.Pointer);
        Rounded(b, roundedB.Pointer);
        gemm.Multiply(transposeA, transposeB, m, n, k, roundedA.Pointer, a.Columns, roundedB.Pointer, b.Columns, c.Pointer, n, accumulate);
    }

    private void Halves(Tensor x, ushort* halves)
    {
        float* source = x.Pointer;
        ForElements(x.Count, (start, count) => HalfConversion.SingleToBFloat16(new ReadOnlySpan<float>(source + start, count), new Span<ushort>(halves + start, count)));
    }

    private void Rounded(Tensor x, float* rounded)
    {
        float* source = x.Pointer;
        ForElements(x.Count, (start, count) =>
        {
            for (long i = start; i < start + count; i++) rounded[i] = BFloat16.ToSingle(BFloat16.FromSingle(source[i]));
        });
    }

    public void MultiplyCodes(in IntegerProductArguments arguments, Tensor y) => integers.Multiply(arguments.X, arguments.Weight, y.Pointer);

    /// <summary>Rows of one chunk; at most 256 chunks where each leaves a partial sum.</summary>
    private static int RowsPerChunk(int rows, int columns) => Math.Max(Math.Max(1, ChunkElements / Math.Max(1, columns)), (rows + 255) / 256);

    private static int Chunks(long count, int size) => checked((int)((count + size - 1) / size));

    /// <summary>Runs body(first element, number of elements) over chunks of a flat array.</summary>
    private void ForElements(long count, Action<long, int> body) => pool.Run(Chunks(count, ChunkElements), chunk =>
    {
        long start = (long)chunk * ChunkElements;
        body(start, (int)Math.Min(ChunkElements, count - start));
    });

    /// <summary>Runs body(chunk, first row, end row) over chunks of rows.</summary>
    private void ForRows(int rows, int columns, Action<int, int, int> body)
    {
        int size = RowsPerChunk(rows, columns);
        pool.Run(Chunks(rows, size), chunk => body(chunk, chunk * size, Math.Min(rows, (chunk + 1) * size)));
    }

    /// <summary>sums[j] (+)= sum over the chunks, in their order, of partial[chunk, j].</summary>
    private void SumPartials(float* partial, int chunks, int columns, float* sums, bool accumulate)
    {
        const int width = 512;
        pool.Run(Chunks(columns, width), part =>
        {
            int end = Math.Min(columns, (part + 1) * width);
            for (int j = part * width; j < end; j += V.Count)
            {
                int left = end - j;
                V sum = accumulate ? V.Load(sums + j, left) : V.Zero;
                for (int c = 0; c < chunks; c++) sum += V.Load(partial + ((long)c * columns) + j, left);
                sum.Store(sums + j, left);
            }
        });
    }

    private static void Clear(float* x, long count)
    {
        for (; count > int.MaxValue; x += int.MaxValue, count -= int.MaxValue) new Span<float>(x, int.MaxValue).Clear();
        new Span<float>(x, (int)count).Clear();
    }

    /// <summary>Log of the sum of e^x, added up in double precision, and the first largest element.</summary>
    private static double LogSumExp(float* x, int n, out int largest)
    {
        largest = FirstLargest(x, n);
        double peak = float.IsFinite(x[largest]) ? x[largest] : 0;
        V shift = V.Create((float)peak);
        D sum = D.Zero;
        int j = 0, step = 4 * V.Count;
        for (; j <= n - step; j += step)
        {
            // Four terms of a lane are added as they are; what comes after is double.
            V a = SimdMath.Exp(V.Load(x + j) - shift) + SimdMath.Exp(V.Load(x + j + V.Count) - shift);
            V b = SimdMath.Exp(V.Load(x + j + (2 * V.Count)) - shift) + SimdMath.Exp(V.Load(x + j + (3 * V.Count)) - shift);
            V.Widen(a + b, out D low, out D high);
            sum += low + high;
        }
        for (; j < n; j += V.Count)
        {
            int left = n - j;
            V e = SimdMath.Exp(V.Load(x + j, left) - shift);
            if (left < V.Count) e &= V.LessThan(V.Indices, V.Create(left));
            V.Widen(e, out D low, out D high);
            sum += low + high;
        }
        return peak + Math.Log(D.Sum(sum));
    }

    /// <summary>Index of the first largest element; 0 when none is a number.</summary>
    private static int FirstLargest(float* x, int n)
    {
        // The parts are compared by their largest elements, and only the first with the largest of all is searched.
        const int part = 1024;
        float largest = float.NegativeInfinity;
        int first = 0;
        for (int start = 0; start < n; start += part)
        {
            int end = Math.Min(n, start + part), j = start;
            V a = V.Create(float.NegativeInfinity), b = a;
            for (; j <= end - (2 * V.Count); j += 2 * V.Count)
            {
                a = V.Max(a, V.Load(x + j));
                b = V.Max(b, V.Load(x + j + V.Count));
            }
            float here = V.Largest(V.Max(a, b));
            for (; j < end; j++) here = MathF.Max(here, x[j]);
            if (here > largest) (largest, first) = (here, start);
        }
        for (int j = first; j < Math.Min(n, first + part); j++)
        {
            if (x[j] == largest) return j;
        }
        return 0;
    }
}
