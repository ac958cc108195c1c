using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Kernels.Blas;
using LowRankQuant.Numerics.Kernels.Simd.Gemm;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// Times the managed product against a system BLAS in one process. Short samples of the two take turns, so that whatever else the machine
/// does falls on both, and medians drop what falls on one. The ratio of the best samples is the two without the machine's other work.
/// </summary>
internal static unsafe class GemmBenchmark
{
    private static readonly int[] Squares = [512, 1024, 2048, 4096];
    private static readonly int[] Tokens = [1024, 2048];
    private static readonly (int Out, int In)[] Weights = [(576, 576), (192, 576), (1536, 576), (576, 1536)];

    public static int Run(Options options)
    {
        int threads = options.Number("threads", 2), repeats = options.Number("repeats", 15);
        bool processorClock = options.Text("clock") == "cpu";
        if (processorClock && threads != 1) throw new ArgumentException("--clock cpu needs --threads 1: it counts what the calling thread uses.");
        using var pool = new WorkerPool(threads);
        var managed = new ManagedGemm(pool, options.Number("bits", 512));
        BlasGemm? blas = null;
        try
        {
            blas = BlasGemm.Load(options.Text("blas"), pool);
        }
        catch (DllNotFoundException missing)
        {
            Console.Error.WriteLine(missing.Message);
        }
        string clock = processorClock ? "processor" : "wall";
        Print($"{managed.Name} against {blas?.Name ?? "nothing"}, {threads} thread(s)");
        Print($"GFLOP/s by medians of {repeats} interleaved samples, {clock} time");
        Print($"peak (registers only, {threads} thread(s)): {GemmPeak.Measure(pool):F0} GFLOP/s before");
        Console.WriteLine("| product | m | n | k | managed | BLAS | ratio | ratio of best | largest difference |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        string only = options.Text("only") ?? "";
        double worst = double.MaxValue;
        foreach ((string name, bool ta, bool tb, int m, int n, int k) in Cases())
        {
            if (!$"{name} {m}x{n}x{k}".Contains(only, StringComparison.Ordinal)) continue;
            worst = Math.Min(worst, Compare(managed, blas, name, ta, tb, m, n, k, repeats, processorClock));
        }
        Print($"lowest ratio {worst:F3}; peak {GemmPeak.Measure(pool):F0} GFLOP/s after");
        return 0;
    }

    private static IEnumerable<(string Name, bool Ta, bool Tb, int M, int N, int K)> Cases()
    {
        foreach (int size in Squares) yield return ("square", false, false, size, size, size);
        foreach (int tokens in Tokens)
        {
            foreach ((int outFeatures, int inFeatures) in Weights)
            {
                yield return ("y = x W^T", false, true, tokens, outFeatures, inFeatures);
                yield return ("dx = dy W", false, false, tokens, inFeatures, outFeatures);
                yield return ("dW = dy^T x", true, false, outFeatures, inFeatures, tokens);
            }
        }
        yield return ("Q K^T", false, true, 512, 512, 64);
        yield return ("P V", false, false, 512, 64, 512);
        yield return ("decode", false, true, 1, 576, 576);
        yield return ("decode", false, true, 1, 1536, 576);
        yield return ("decode", false, true, 4, 1536, 576);
    }

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    private static double Compare(
        ManagedGemm managed, BlasGemm? blas, string name, bool ta, bool tb, int m, int n, int k, int repeats, bool processorClock)
    {
        float* a = Fill((long)m * k, 1), b = Fill((long)n * k, 2), c = Fill((long)m * n, 3), d = Fill((long)m * n, 4);
        int lda = ta ? m : k, ldb = tb ? k : n;
        void Left() => managed.Multiply(ta, tb, m, n, k, a, lda, b, ldb, c, n, false);
        void Right() => blas!.Multiply(ta, tb, m, n, k, a, lda, b, ldb, d, n, false);
        double flops = 2.0 * m * n * k;
        int calls = (int)Math.Clamp(1e9 / flops, 1, 20000);
        var left = new double[repeats];
        var right = new double[repeats];
        Left();
        if (blas is not null) Right();
        double difference = 0;
        for (long i = 0; blas is not null && i < (long)m * n; i++) difference = Math.Max(difference, Math.Abs(c[i] - d[i]));
        for (int i = 0; i < repeats; i++)
        {
            left[i] = Time(Left, calls, processorClock);
            if (blas is not null) right[i] = Time(Right, calls, processorClock);
        }
        Array.Sort(left);
        Array.Sort(right);
        double ours = flops / left[repeats / 2] / 1e9, theirs = flops / right[repeats / 2] / 1e9, ratio = ours / theirs;
        Print($"| {name} | {m} | {n} | {k} | {ours:F0} | {theirs:F0} | {ratio:F2} | {right[0] / left[0]:F2} | {difference:E1} |");
        foreach (nint block in new[] { (nint)a, (nint)b, (nint)c, (nint)d }) NativeMemory.AlignedFree((void*)block);
        return ratio;
    }

    private static double Time(Action action, int calls, bool processorClock)
    {
        // Threads of an OpenMP runtime go on spinning for a while after a product; that must not fall on the next sample.
        Thread.Sleep(10);
        // The system may wake a sleeping thread on the core of the one that woke it, and takes a few milliseconds to part them. In training threads do
        // not sleep between products: what counts is how fast they are once awake.
        long awake = Stopwatch.GetTimestamp() + (Stopwatch.Frequency / 50);
        do action();
        while (Stopwatch.GetTimestamp() < awake);
        double start = processorClock ? ThreadClock.Seconds : Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
        for (int i = 0; i < calls; i++) action();
        double end = processorClock ? ThreadClock.Seconds : Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
        return (end - start) / calls;
    }

    private static float* Fill(long count, int seed)
    {
        float* block = (float*)NativeMemory.AlignedAlloc((nuint)count * sizeof(float), 64);
        var random = new Random(seed);
        for (long i = 0; i < count; i++) block[i] = random.NextSingle() - 0.5f;
        return block;
    }
}
