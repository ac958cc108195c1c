using System.Diagnostics;
using System.Globalization;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.FlrqPlus;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// Time and peak memory of FLRQ, or flrq+, over the seven matrices of one Llama-2-7B block: generated weights and inputs with spectra that fall off like
/// those of real ones. Counts second moments and everything after; the forward passes of calibration are not run.
/// </summary>
internal static class FlrqBlockBenchmark
{
    private const int Blocks = 32;
    private const int Window = 512;

    private static readonly (string Name, int Rows, int Columns, bool SharesInput)[] Matrices =
    [
        ("q", 4096, 4096, false), ("k", 4096, 4096, true), ("v", 4096, 4096, true), ("o", 4096, 4096, false),
        ("gate", 11008, 4096, false), ("up", 11008, 4096, true), ("down", 4096, 11008, false),
    ];

    public static int Run(Options options)
    {
        int bits = options.Number("bits", 3), tokens = options.Number("tokens", 32768), group = options.Number("group-size", 128);
        string method = options.Text("method") ?? "flrq", only = options.Text("only") ?? "";
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = options.Number("threads", 2) });
        ILayerSolver solver = method switch
        {
            "flrq" => new FlrqSolver(new FlrqOptions { Epochs = bits <= 2 ? 20 : 1 }),
            "flrq+" => new PlusSolver(new PlusOptions(), problem => new RankCost(problem.OutFeatures, problem.InFeatures, bits, 8).Cap(0.2)),
            _ => throw new ArgumentException($"--method {method}: flrq or flrq+."),
        };
        Console.WriteLine($"{method}, {bits} bits, groups of {group}, {tokens} tokens, {device.Name}");
        double whole = 0;
        InputStatistics? inputs = null;
        foreach ((string name, int rows, int columns, bool shares) in Matrices)
        {
            if (only.Length > 0 && !only.Split(',').Contains(name)) continue;
            double moments = 0;
            if (inputs is null || !shares || inputs.Size != columns)
            {
                inputs = null;
                (inputs, moments) = Moments(device, columns, tokens);
            }
            double[] weight = Weight(rows, columns, device.HostWorkers);
            long start = Stopwatch.GetTimestamp();
            LayerSolution solution = solver.Solve(new LayerProblem
            {
                Name = name,
                Weight = weight,
                OutFeatures = rows,
                InFeatures = columns,
                Inputs = inputs,
                Grid = new UniformGrid(bits, false, Granularity.Group, group),
                ScaleType = ScaleType.Float16,
                Damping = 0.3,
                Seed = 1,
                Workers = device.HostWorkers,
            });
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            whole += seconds + moments;
            string error = options.Text("error") is null ? "" : string.Create(CultureInfo.InvariantCulture, $"  error {Error(solution.Weight, weight, inputs!, device.HostWorkers):E4}");
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{name,-5} {rows,5} x {columns,-5}  second moments {moments,6:F1} s  {method} {seconds,6:F1} s  rank {solution.Weight.Branch?.Rank ?? 0,3}  {solution.Weight.BitsPerWeight:F3} bits{error}"));
        }
        using Process process = Process.GetCurrentProcess();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"one block {whole:F0} s, {Blocks} blocks {whole * Blocks / 3600:F2} h, peak memory {process.PeakWorkingSet64 / (double)(1 << 30):F2} GiB"));
        return 0;
    }

    // Of outputs on the calibration inputs, relative to the outputs: tr(D H D^T) / tr(W H W^T).
    private static double Error(QuantizedWeight result, double[] weight, InputStatistics inputs, WorkerPool workers)
    {
        var values = new float[weight.Length];
        result.Reconstruct(values);
        var difference = new double[weight.Length];
        for (int i = 0; i < difference.Length; i++) difference[i] = weight[i] - values[i];
        return QuadraticForm.Rows(difference, inputs.Covariance, result.OutFeatures, result.InFeatures, workers).Sum() / QuadraticForm.Rows(weight, inputs.Covariance, result.OutFeatures, result.InFeatures, workers).Sum();
    }

    // Inputs with a power-law of channel sizes, a few massive channels, and neighbours that correlate; only the products are timed.
    private static (InputStatistics Inputs, double Seconds) Moments(Device device, int columns, int tokens)
    {
        var statistics = new InputStatistics(columns);
        var random = new SeededRandom((ulong)columns);
        float[] sizes = [.. Enumerable.Range(0, columns).Select(_ => (float)(Math.Pow(1 + (columns * random.NextUniform()), -0.35) * (random.NextUniform() < 0.001 ? 40 : 1)))];
        var values = new float[Window * columns];
        using Tensor x = device.Empty(Window, columns);
        double seconds = 0;
        for (int done = 0; done < tokens; done += Window)
        {
            for (int row = 0; row < Window; row++)
            {
                double before = 0;
                for (int column = 0; column < columns; column++)
                {
                    before = (0.7 * before) + random.NextGaussian();
                    values[(row * columns) + column] = (float)(sizes[column] * before);
                }
            }
            x.CopyFrom(values);
            long start = Stopwatch.GetTimestamp();
            statistics.Add(x);
            seconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
        return (statistics, seconds);
    }

    private static double[] Weight(int rows, int columns, WorkerPool workers)
    {
        var weight = new double[rows * columns];
        var matrix = new SpectralMatrix((ulong)(rows + columns), columns);
        workers.Run(rows, row =>
        {
            var line = new float[columns];
            matrix.Row(row, line);
            for (int column = 0; column < columns; column++) weight[(row * columns) + column] = line[column];
        });
        return weight;
    }
}
