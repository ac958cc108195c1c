using System.Diagnostics;
using System.Globalization;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Kernels.Simd.Integers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// A linear with quantized activations, computed from integer codes (rounding the activations included) against a product in floats by the same kernels (ours, or those of --kernels onednn), with and without rounding them first.
/// Short samples take turns, so that whatever else the machine does falls on all; medians drop what falls on one, and best samples are free of it.
/// </summary>
internal static class IntegerBenchmark
{
    private static readonly (int Rows, int In, int Out)[] Shapes =
        [(2048, 576, 576), (2048, 576, 1536), (2048, 1536, 576), (512, 4096, 4096), (1024, 4096, 4096), (512, 4096, 11008), (512, 11008, 4096)];

    private static readonly (string Name, int Bits, UniformGrid Weight)[] Schemes =
    [
        ("w8a8", 8, new UniformGrid(8, true, Granularity.Channel)),
        ("w8a8 asymmetric", 8, new UniformGrid(8, false, Granularity.Channel)),
        ("w8a8 g128", 8, new UniformGrid(8, true, Granularity.Group, 128)),
        ("w4a8", 8, new UniformGrid(4, true, Granularity.Channel)),
        ("w4a8 g128", 8, new UniformGrid(4, false, Granularity.Group, 128)),
        ("w4a8 g32", 8, new UniformGrid(4, true, Granularity.Group, 32)),
        ("w4a4", 4, new UniformGrid(4, true, Granularity.Channel)),
    ];

    public static int Run(Options options)
    {
        int threads = options.Number("threads", 1), repeats = options.Number("repeats", 15);
        string only = options.Text("only") ?? "", shapes = options.Text("shapes") ?? "";
        bool processorClock = options.Text("clock") == "cpu";
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = threads, Kernels = options.Text("kernels") == "onednn" ? CpuKernelKind.OneDnn : CpuKernelKind.Simd });
        Print($"{device.Name}; codes by {(options.Text("kernels") == "onednn" ? "the same" : new IntegerGemm(device.HostWorkers).Name)}; medians and best of {repeats} interleaved samples, {(processorClock ? "processor" : "wall")} time");
        Console.WriteLine("| scheme | rows | in | out | floats, GFLOP/s | codes, GOP/s | ratio | ratio of best | with rounding in floats | of best | rounding to codes, share |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach ((int rows, int inFeatures, int outFeatures) in Shapes)
        {
            foreach ((string name, int bits, UniformGrid grid) in Schemes)
            {
                if (!$"{rows}x{inFeatures}x{outFeatures}".Contains(shapes, StringComparison.Ordinal) || (only.Length > 0 && only != name) || !grid.Divides(inFeatures)) continue;
                using var sample = new Sample(device, name, bits, grid, rows, inFeatures, outFeatures, processorClock);
                Console.WriteLine(sample.Measure(repeats));
            }
        }
        return 0;
    }

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    /// <summary>One scheme at one shape.</summary>
    private sealed class Sample : IDisposable
    {
        private readonly Device _device;
        private readonly string _name;
        private readonly bool _processorClock;
        private readonly UniformWeight _weight;
        private readonly Tensor _x, _floats, _rounded, _y, _codes, _steps, _zeros;
        private readonly CodedActivations _coded;

        public Sample(Device device, string name, int bits, UniformGrid grid, int rows, int inFeatures, int outFeatures, bool processorClock)
        {
            (_device, _name, _processorClock) = (device, name, processorClock);
            var random = new Random(1);
            byte[] codes = new byte[outFeatures * inFeatures];
            for (int i = 0; i < codes.Length; i++) codes[i] = (byte)random.Next(grid.MaxCode + 1);
            float[] scales = new float[grid.ScaleCount(outFeatures, inFeatures)], values = new float[rows * inFeatures];
            for (int i = 0; i < scales.Length; i++) scales[i] = 0.01f + (random.NextSingle() / 100);
            for (int i = 0; i < values.Length; i++) values[i] = random.NextSingle() - 0.4f;
            byte[]? zeros = grid.Symmetric ? null : new byte[scales.Length];
            zeros?.AsSpan().Fill((byte)((grid.MaxCode / 2) - 1));
            _weight = new UniformWeight(outFeatures, inFeatures, grid, codes, scales, zeros, ScaleType.Float32);
            (_x, _floats) = (device.From(values, rows, inFeatures), device.Empty(outFeatures, inFeatures));
            _weight.Dequantize(_floats.Span);
            (_rounded, _y, _codes) = (device.Empty(rows, inFeatures), device.Empty(rows, outFeatures), device.Empty(CodedActivations.FloatsFor(rows, inFeatures)));
            (_steps, _zeros) = (device.Empty(rows), device.Empty(rows));
            _coded = new CodedActivations(new ActivationGrid(bits, false, ActivationScope.Token), rows, inFeatures, _codes, _steps, _zeros);
        }

        public string Measure(int repeats)
        {
            double operations = 2.0 * _x.Rows * _x.Columns * _y.Columns;
            int calls = (int)Math.Clamp(2e9 / operations, 1, 1000);
            Action[] actions = [Floats, () => { RoundFloats(); Floats(_rounded); }, () => { RoundCodes(); Codes(); }, RoundCodes];
            double[][] times = [.. actions.Select(_ => new double[repeats])];
            foreach (Action action in actions) Time(action, calls);
            for (int i = 0; i < repeats; i++)
            {
                for (int a = 0; a < actions.Length; a++) times[a][i] = Time(actions[a], calls);
            }
            foreach (double[] time in times) Array.Sort(time);
            double[] median = [.. times.Select(time => time[repeats / 2])], best = [.. times.Select(time => time[0])];
            return string.Create(
                CultureInfo.InvariantCulture,
                $"| {_name} | {_x.Rows} | {_x.Columns} | {_y.Columns} | {operations / median[0] / 1e9:F0} | {operations / median[2] / 1e9:F0} | {median[0] / median[2]:F2} | {best[0] / best[2]:F2} | " +
                $"{median[1] / median[2]:F2} | {best[1] / best[2]:F2} | {best[3] / best[2]:P0} |");
        }

        public void Dispose()
        {
            foreach (Tensor tensor in new[] { _x, _floats, _rounded, _y, _codes, _steps, _zeros }) tensor.Dispose();
        }

        private void Floats() => Floats(_x);

        private void Floats(Tensor x) => _device.Kernels.MatMul(x, false, _floats, true, _y, false);

        private void RoundFloats() => _device.Kernels.QuantizeActivations(Arguments(), _rounded);

        private void RoundCodes() => _device.Kernels.ActivationCodes(Arguments(), _coded.Codes);

        private void Codes() => _device.Kernels.MultiplyCodes(new IntegerProductArguments { X = _coded, Weight = _weight }, _y);

        private ActivationQuantizerArguments Arguments() => new() { Grid = _coded.Grid, X = _x, Step = _steps, ZeroPoint = _zeros };

        private double Time(Action action, int calls)
        {
            action();
            double start = Now;
            for (int i = 0; i < calls; i++) action();
            return (Now - start) / calls;
        }

        private double Now => _processorClock ? ThreadClock.ProcessSeconds : Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
    }
}
