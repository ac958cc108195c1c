using System.Diagnostics;
using System.Globalization;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// The recurrences of Mamba-2 and Mamba-1 per token and head (channel): as the recurrence, in chunks, and backwards. The forms take turns, and the shortest
/// of the repeats counts, so that what else the machine does matters little.
/// </summary>
internal static class StateSpaceBenchmark
{
    /// <summary>The most tokens of a call that take the recurrence as it is.</summary>
    private const int Few = 7;

    private static readonly int[] Lengths = [512, 4096];
    private static readonly int[] HeadSizes = [64, 128];

    public static int Run(Options options)
    {
        int repeats = options.Number("repeats", 9), heads = options.Number("heads", 8), groups = options.Number("groups", 1), state = options.Number("state", 128);
        int channels = options.Number("channels", 1024);
        bool processorClock = options.Text("clock") == "cpu";
        using Device device = options.Device();
        Print($"peak (registers only): {GemmPeak.Measure(device.HostWorkers):F0} GFLOP/s");
        Print($"{device.Name}; {heads} heads in {groups} group(s), state of {state}; times a token and head, bytes a head; best of {repeats} interleaved samples, {(processorClock ? "processor" : "wall")} time");
        Console.WriteLine(
            $"| tokens | head | a token a call, ns | {Few} tokens a call, ns | chunks, ns | ratio | ratio to {Few} | GFLOP/s in chunks | chunks and kept states, ns | backward, ns | kept, bytes |");
        Console.WriteLine("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (int headSize in HeadSizes)
        {
            foreach (int length in Lengths)
            {
                var shape = new StateSpaceShape(1, length, heads, groups, headSize, state);
                Console.WriteLine(StateSpace(device, shape, repeats, processorClock));
            }
        }
        Print($"selective scan of {channels} channels, state of 16; times a token and channel, bytes a channel");
        Console.WriteLine("| tokens | a token a call, ns | whole, ns | backward, ns | kept, bytes |");
        Console.WriteLine("|---:|---:|---:|---:|---:|");
        foreach (int length in Lengths) Console.WriteLine(SelectiveScan(device, new SelectiveScanShape(1, length, channels, 16), repeats, processorClock));
        return 0;
    }

    private static string StateSpace(Device device, StateSpaceShape shape, int repeats, bool processorClock)
    {
        int rows = shape.Length, inner = shape.Heads * shape.HeadSize, shared = shape.Groups * shape.StateSize;
        var memory = new Memory(device);
        var inputs = new ScanInputs(
            memory.Random(1, rows, inner), memory.Random(1, rows, shared), memory.Random(1, rows, shared), memory.Random(0.1f, rows, shape.Heads), memory.Random(-1, shape.Heads),
            memory.Random(1, shape.Heads));
        Tensor y = memory.Empty(rows, inner), states = memory.Empty(inner, shape.StateSize), kept = memory.Empty(checked((int)shape.KeptElements)), dy = memory.Random(1, rows, inner);
        var gradients = new ScanGradients(memory.Empty(rows, inner), memory.Empty(rows, shared), memory.Empty(rows, shared), memory.Empty(rows, shape.Heads));
        IKernels kernels = device.Kernels;
        double[] best = Best(
            repeats,
            processorClock,
            () => ByCalls(1),
            () => ByCalls(Few),
            () => kernels.StateSpaceForward(shape, inputs, null, y, null, null),
            () => kernels.StateSpaceForward(shape, inputs, null, y, null, kept),
            () => kernels.StateSpaceBackward(shape, inputs, kept, dy, gradients));
        double unit = 1e9 / ((double)rows * shape.Heads);
        memory.Dispose();

        // Within a chunk half of the products of tokens, C B^T once for a group and times x for every head; with the state, twice head times state.
        double within = 0.5 * StateSpaceShape.ChunkLength * (shape.HeadSize + ((double)shape.StateSize * shape.Groups / shape.Heads));
        double between = 2.0 * shape.HeadSize * shape.StateSize * (shape.Chunks - 1) / shape.Chunks;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {rows} | {shape.HeadSize} | {best[0] * unit:F0} | {best[1] * unit:F0} | {best[2] * unit:F0} | {best[0] / best[2]:F2} | {best[1] / best[2]:F2} | " +
            $"{2 * (within + between) / (best[2] * unit):F0} | {best[3] * unit:F0} | {best[4] * unit:F0} | {shape.KeptElements * 4.0 / shape.Heads:F0} |");

        void ByCalls(int count)
        {
            kernels.Fill(states, 0);
            for (int t = 0; t < rows; t += count)
            {
                int n = Math.Min(count, rows - t);
                var part = new ScanInputs(
                    inputs.X.RowRange(t, n), inputs.B.RowRange(t, n), inputs.C.RowRange(t, n), inputs.StepSizes.RowRange(t, n), inputs.A, inputs.D);
                kernels.StateSpaceForward(shape with { Length = n }, part, states, y.RowRange(t, n), states, null);
            }
        }
    }

    private static string SelectiveScan(Device device, SelectiveScanShape shape, int repeats, bool processorClock)
    {
        int rows = shape.Length, n = shape.Channels;
        var memory = new Memory(device);
        var inputs = new ScanInputs(
            memory.Random(1, rows, n), memory.Random(1, rows, shape.StateSize), memory.Random(1, rows, shape.StateSize), memory.Random(0.1f, rows, n),
            memory.Random(-1, n, shape.StateSize), memory.Random(1, n));
        Tensor y = memory.Empty(rows, n), states = memory.Empty(n, shape.StateSize), kept = memory.Empty(checked((int)shape.KeptElements)), dy = memory.Random(1, rows, n);
        var gradients = new ScanGradients(memory.Empty(rows, n), memory.Empty(rows, shape.StateSize), memory.Empty(rows, shape.StateSize), memory.Empty(rows, n));
        IKernels kernels = device.Kernels;
        double[] best = Best(
            repeats,
            processorClock,
            ByCalls,
            () => kernels.SelectiveScanForward(shape, inputs, null, y, null, kept),
            () => kernels.SelectiveScanBackward(shape, inputs, kept, dy, gradients));
        double unit = 1e9 / ((double)rows * n);
        memory.Dispose();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {rows} | {best[0] * unit:F2} | {best[1] * unit:F2} | {best[2] * unit:F2} | {shape.KeptElements * 4.0 / n:F0} |");

        void ByCalls()
        {
            kernels.Fill(states, 0);
            for (int t = 0; t < rows; t++)
            {
                var part = new ScanInputs(
                    inputs.X.RowRange(t, 1), inputs.B.RowRange(t, 1), inputs.C.RowRange(t, 1), inputs.StepSizes.RowRange(t, 1), inputs.A, inputs.D);
                kernels.SelectiveScanForward(shape with { Length = 1 }, part, states, y.RowRange(t, 1), states, null);
            }
        }
    }

    private static double[] Best(int repeats, bool processorClock, params Action[] actions)
    {
        double[] best = new double[actions.Length];
        Array.Fill(best, double.PositiveInfinity);
        foreach (Action action in actions) action();
        for (int i = 0; i < repeats; i++)
        {
            for (int a = 0; a < actions.Length; a++)
            {
                double start = Now();
                actions[a]();
                best[a] = Math.Min(best[a], Now() - start);
            }
        }
        return best;

        double Now() => processorClock ? ThreadClock.ProcessSeconds : Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
    }

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    /// <summary>Tensors that are released together.</summary>
    private sealed class Memory(Device device) : IDisposable
    {
        private readonly List<Tensor> _tensors = [];
        private readonly Random _random = new(1);

        public Tensor Empty(params int[] shape)
        {
            Tensor tensor = device.Empty(shape);
            _tensors.Add(tensor);
            return tensor;
        }

        /// <summary>Values between a tenth of a number and itself, with either sign where the number is 1.</summary>
        public Tensor Random(float largest, params int[] shape)
        {
            Tensor tensor = Empty(shape);
            foreach (ref float value in tensor.Span)
            {
                value = largest * (0.1f + (0.9f * _random.NextSingle()));
                if (largest == 1 && _random.Next(2) == 0) value = -value;
            }
            return tensor;
        }

        public void Dispose()
        {
            foreach (Tensor tensor in _tensors) tensor.Dispose();
        }
    }
}
