using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Benchmarks;

/// <summary>A whole step of LRQ as the trainer does it: reading windows, quantizer, block, loss, gradients, Adam; bench/lrq_step_torch.py does the same.</summary>
internal static class StepBenchmark
{
    public static int Run(Options options)
    {
        int repeats = options.Number("repeats", 5), warmup = Math.Max(3, options.Number("warmup", 3)), batch = options.Number("batch", 2);
        int length = options.Number("length", 512), rank = options.Number("rank", 128), bits = options.Number("bits", 3);
        double rate = double.Parse(options.Text("rate") ?? "1e-3", CultureInfo.InvariantCulture);
        using var device = new TimedDevice(options.Device());
        var report = new StepReport("lrq-step", device);
        report.About();
        var sizes = SyntheticBlock.Of(options);
        using IDisposable precision = device.With(options.Precision);
        using IDecoderBlock block = sizes.Create(device, length, trained: false);
        var budget = new MemoryBudget(long.MaxValue);
        var stream = new StreamOptions(budget, Path.GetTempPath());
        using ActivationStream inputs = ActivationStream.Of(device, new ActivationStore(batch, length, sizes.Hidden, budget, Path.GetTempPath()), stream);
        using ActivationStream targets = ActivationStream.Of(device, new ActivationStore(batch, length, sizes.Hidden, budget, Path.GetTempPath()), stream);
        Fill(sizes, device, block, inputs, targets);
        var scheme = new Scheme(new UniformGrid(bits, false, Granularity.Channel), GridStart.MinMax, ScaleType.Float32);
        long count = block.Slots.Sum(slot => LearnedScale.ParameterCount(slot.OutFeatures, slot.InFeatures, PartsOf(slot), scheme.Grid));
        using var arena = new ParameterArena(device, count, block.Slots.Count * 5);
        LearnedScale[] learned = [.. block.Slots.Select((slot, i) => LearnedScale.Create(
            slot, PartsOf(slot), LayerStart.OfWeight(slot, scheme, device.HostWorkers),
            arena, Seeds.Factor(0, 0, i)))];
        IWeightSource[] dense = [.. block.Slots.Select((slot, i) => slot.Exchange(learned[i]))];
        using var trainer = new BlockTrainer(
            block, new BlockStreams(inputs, targets, batch), arena, new TrainingSettings { Iterations = repeats, LearningRate = rate, Batch = batch });
        int[] windows = [.. Enumerable.Range(0, batch)];
        var checks = new JsonObject();
        for (int step = 0; step < warmup + repeats; step++)
        {
            device.Timed.Reset();
            StopTimes start = StopTimes.Now;
            double loss = trainer.Step(windows, rate, step + 1);
            StopTimes end = StopTimes.Now, lossEnd = device.Timed.LossEnd, adamStart = device.Timed.AdamStart;
            if (step < 3) checks[$"loss{step}"] = loss;
            if (step == 0) AddNorms(sizes, checks, learned);
            if (step >= warmup) report.Add(step - warmup, ("forward", lossEnd - start), ("backward", adamStart - lossEnd), ("adam", end - adamStart));
        }
        StepReport.Check(checks);
        report.Breakdown();
        for (int i = 0; i < dense.Length; i++) block.Slots[i].Exchange(dense[i]).Dispose();
        return 0;

        RoundingParts PartsOf(LinearSlot slot) => new(ScaleShape.LowRankFor(slot.OutFeatures, slot.InFeatures, rank));
    }

    /// <summary>The input, and the full-precision block's output for it as the target.</summary>
    private static void Fill(SyntheticBlock sizes, Device device, IDecoderBlock block, ActivationStream inputs, ActivationStream targets)
    {
        using Tensor x = sizes.Input(device, inputs.Windows * inputs.Rows);
        using var tape = new Tape(device, recording: false);
        Variable y = block.Forward(tape, new Variable(x), new SequenceShape(inputs.Windows, inputs.Rows));
        for (int i = 0; i < inputs.Windows; i++)
        {
            inputs.Write(i, x.RowRange(i * inputs.Rows, inputs.Rows));
            targets.Write(i, y.Value.RowRange(i * inputs.Rows, inputs.Rows));
        }
    }

    private static void AddNorms(SyntheticBlock sizes, JsonObject checks, LearnedScale[] learned)
    {
        for (int i = 0; i < learned.Length; i++)
        {
            FakeQuantizeParameters p = learned[i].Parameters;
            string name = sizes.Linears[i].Short;
            checks[$"d{name}.log_scale"] = SyntheticBlock.Norm(p.LogScale.Gradient!);
            checks[$"d{name}.left"] = SyntheticBlock.Norm(p.Left!.Gradient!);
            checks[$"d{name}.row"] = SyntheticBlock.Norm(p.RowOffset!.Gradient!);
            checks[$"d{name}.column"] = SyntheticBlock.Norm(p.ColumnOffset!.Gradient!);
        }
    }
}
