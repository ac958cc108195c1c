using System.Diagnostics;
using System.Globalization;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// R1-Sketch, its block form, a randomized SVD that is told the rank, and a system library's full SVD, on float matrices with a planted spectrum. All
/// peel the same number of ranks; figures to compare are ratios within one run.
/// </summary>
internal static class SketchBenchmark
{
    private const int PowerIterations = 2;
    private static readonly (int Rows, int Columns)[] Shapes = [(768, 768), (4096, 4096), (11008, 4096)];

    public static int Run(Options options)
    {
        int threads = options.Number("threads", 2), ranks = options.Number("ranks", 64), repeats = options.Number("repeats", 3);
        int width = options.Number("width", 64), batch = options.Number("batch", 8), only = options.Number("rows", 0), largestSvd = options.Number("largest-svd", 4096);
        using var workers = new WorkerPool(threads);
        Console.WriteLine($"{threads} threads, {ranks} ranks, {PowerIterations} power iterations, best of {repeats}; batches of {batch} terms, block form {width} vectors at once");
        Console.WriteLine("shape          read GB/s |  R1-Sketch s  traffic GB/s  of read |  block s  energy | randomized SVD s  energy | block/rsvd | full SVD s  svd/R1  svd/block");
        foreach ((int rows, int columns) in Shapes)
        {
            if (only > 0 && rows != only) continue;
            float[] a = Planted(rows, columns, ranks, workers), work = new float[a.Length];
            Memory<float> aligned = AlignedMemory.Allocate<float>(a.Length);
            float[] starts = Gaussian((ranks + 1) * columns, 7);
            float[] u = new float[ranks * rows], s = new float[ranks], v = new float[ranks * columns];
            double singleRest = 0, blockRest = 0;
            double[] best = [.. Enumerable.Repeat(double.PositiveInfinity, 4)];
            // In turns, so that a quiet moment of a shared machine serves all of them; the first round warms up.
            for (int round = 0; round <= repeats; round++)
            {
                double[] now = new double[best.Length];
                a.CopyTo(aligned);
                now[0] = ReadSeconds(aligned, workers);
                now[1] = Seconds(() => Peel(aligned, rows, columns, ranks, batch, starts, workers));
                if (round == 0) singleRest = Energy(aligned.Span) / Energy(a);
                a.CopyTo(work, 0);
                now[2] = Seconds(() => PeelBlocks(work, rows, columns, ranks, width, starts, workers));
                if (round == 0) blockRest = Energy(work) / Energy(a);
                now[3] = Seconds(() => RandomizedSvd.Decompose(a, rows, columns, ranks, PowerIterations, new SeededRandom(3), u, s, v, workers));
                for (int i = 0; round > 0 && i < best.Length; i++) best[i] = Math.Min(best[i], now[i]);
            }
            (double read, double single, double block, double random) = (best[0], best[1], best[2], best[3]);
            double bandwidth = sizeof(float) * (double)a.Length / read / 1e9, randomRest = 1 - (s.Sum(value => (double)value * value) / Energy(a));
            double? full = rows <= largestSvd ? LapackSvd.Time(a, rows, columns) : null;
            // A term reads the matrix once for its start and once a power step; a batch reads and writes it once more.
            double bytes = sizeof(float) * (double)a.Length * ((ranks * (PowerIterations + 1.0)) + (2 * Math.Ceiling((double)ranks / batch)));
            double traffic = bytes / single / 1e9;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{rows,5} x {columns,-5}  {bandwidth,9:F1} | {single,12:F3} {traffic,13:F1} {traffic / bandwidth,8:F2} | {block,8:F3} {blockRest / singleRest,7:F4} | {random,16:F3} {randomRest / singleRest,7:F4} | {block / random,10:F2} | {full,10:F2} {full / single,7:F1} {full / block,10:F1}"));
        }
        return 0;
    }

    private static void Peel(Memory<float> a, int rows, int columns, int ranks, int batch, float[] starts, WorkerPool workers)
    {
        var sketch = new R1Sketch<float>(a, rows, columns, PowerIterations, workers);
        float[] left = new float[batch * rows], right = new float[batch * columns];
        for (int rank = 0; rank < ranks; rank += batch)
        {
            int now = Math.Min(batch, ranks - rank);
            sketch.Peel(starts[(rank * columns)..((rank + now) * columns)], now, left[..(now * rows)], right[..(now * columns)], new LargestMagnitude<float>());
        }
    }

    private static void PeelBlocks(float[] a, int rows, int columns, int ranks, int width, float[] starts, WorkerPool workers)
    {
        var sketch = new BlockSketch<float>(a, rows, columns, PowerIterations, workers);
        float[] left = new float[width * rows], right = new float[width * columns];
        for (int rank = 0; rank < ranks; rank += width)
        {
            int now = Math.Min(width, ranks - rank);
            sketch.Peel(starts[(rank * columns)..((rank + now) * columns)], now, now, left[..(now * rows)], right[..(now * columns)], new LargestMagnitude<float>());
        }
    }

    // Seconds of one reading of the whole matrix.
    private static double ReadSeconds(Memory<float> a, WorkerPool workers)
    {
        const int part = 1 << 18;
        int chunks = (a.Length + part - 1) / part;
        var sums = new float[chunks];
        // Small matrices lie in cache, as they do for the sketch: read them often enough to be timed.
        int passes = Math.Max(1, (1 << 28) / a.Length);
        return Seconds(() =>
        {
            for (int pass = 0; pass < passes; pass++)
            {
                workers.Run(chunks, chunk =>
                {
                    ReadOnlySpan<float> span = a.Span.Slice(chunk * part, Math.Min(part, a.Length - (chunk * part)));
                    sums[chunk] = VectorKernels.Dot(span, span);
                });
            }
        }) / passes;
    }

    // Noise of variance 1 plus ranks directions with singular values that fall off like those of weights.
    private static float[] Planted(int rows, int columns, int ranks, WorkerPool workers)
    {
        float[] a = Gaussian(rows * columns, 1), left = Gaussian(rows * ranks, 2), right = Gaussian(ranks * columns, 3);
        float scale = 3 * (MathF.Sqrt(rows) + MathF.Sqrt(columns)) / MathF.Sqrt((float)rows * columns);
        for (int i = 0; i < left.Length; i++) left[i] *= scale / MathF.Sqrt(1 + (i % ranks));
        MatrixProduct.Multiply(left, right, a, rows, ranks, columns, workers, accumulate: true);
        return a;
    }

    private static float[] Gaussian(int count, ulong seed)
    {
        var random = new SeededRandom(seed);
        var values = new float[count];
        for (int i = 0; i < count; i++) values[i] = (float)random.NextGaussian();
        return values;
    }

    private static double Seconds(Action body)
    {
        long start = Stopwatch.GetTimestamp();
        body();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static double Energy(ReadOnlySpan<float> a)
    {
        double sum = 0;
        foreach (float value in a) sum += (double)value * value;
        return sum;
    }
}
