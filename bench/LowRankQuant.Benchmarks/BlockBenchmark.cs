using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Benchmarks;

/// <summary>One block forward and backward with gradients of all weights and of the input; bench/block_torch.py does the same.</summary>
internal static class BlockBenchmark
{
    public static int Run(Options options)
    {
        int repeats = options.Number("repeats", 5), warmup = options.Number("warmup", 2), batch = options.Number("batch", 4);
        int length = options.Number("length", 512), rows = batch * length;
        using var device = new TimedDevice(options.Device());
        var report = new StepReport("block", device);
        report.About();
        var sizes = SyntheticBlock.Of(options);
        using IDisposable precision = device.With(options.Precision);
        using IDecoderBlock block = sizes.Create(device, length, trained: true, out INorm[] norms);
        using Tensor x = sizes.Input(device, rows), upstream = sizes.Upstream(device, rows), dx = device.Zeros(rows, sizes.Hidden);
        var input = new Variable(x, dx);
        Variable[] trained =
        [
            input, ((TrainedNorm)norms[0]).Weight, ((TrainedNorm)norms[1]).Weight,
            .. block.Slots.Select(slot => ((DenseWeight)slot.Weight).Variable),
        ];
        for (int repeat = -warmup; repeat < repeats; repeat++)
        {
            foreach (Variable variable in trained) variable.ClearGradient();
            device.Timed.Reset();
            StopTimes start = StopTimes.Now;
            using var tape = new Tape(device, recording: true);
            Variable y = block.Forward(tape, input, new SequenceShape(batch, length));
            StopTimes middle = StopTimes.Now;
            tape.Backward(y, upstream);
            StopTimes end = StopTimes.Now;
            if (repeat >= 0) report.Add(repeat, ("forward", middle - start), ("backward", end - middle));
            if (repeat == repeats - 1) Check(sizes, y.Value, upstream, trained);
        }
        report.Breakdown();
        return 0;
    }

    private static void Check(SyntheticBlock sizes, Tensor y, Tensor upstream, Variable[] trained)
    {
        double loss = 0;
        for (int i = 0; i < y.Count; i++) loss += (double)y.Span[i] * upstream.Span[i];
        var values = new JsonObject
        {
            ["loss"] = loss,
            ["output"] = SyntheticBlock.Norm(y),
            ["dx"] = SyntheticBlock.Norm(trained[0].Gradient!),
            ["dnorm"] = SyntheticBlock.Norm(trained[1].Gradient!, trained[2].Gradient!),
        };
        for (int i = 0; i < sizes.Linears.Length; i++) values[$"d{sizes.Linears[i].Short}"] = SyntheticBlock.Norm(trained[3 + i].Gradient!);
        StepReport.Check(values);
    }
}
