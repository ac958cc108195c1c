using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>Runs a block over calibration windows and collects what its linears see.</summary>
/// <param name="block">The block.</param>
/// <param name="device">Where it computes.</param>
/// <param name="cancellation">Asks to stop.</param>
internal sealed class StageStatistics(DecoderBlock block, Device device, CancellationToken cancellation)
{
    /// <summary>Input statistics of every stage with the block as it stands, in one run over the windows.</summary>
    /// <param name="input">Input of the block.</param>
    /// <param name="windows">The windows to use.</param>
    /// <param name="output">Given every window's number and the block's output; null for nobody.</param>
    public InputStatistics[] All(ActivationStore input, WindowRange windows, Action<int, Tensor>? output = null)
    {
        LinearSlot[] firsts = [.. DecoderBlock.InputStages.Select(stage => block.Slots[stage[0]])];
        InputStatistics[] statistics = [.. firsts.Select(slot => new InputStatistics(slot.InFeatures))];
        try
        {
            for (int i = 0; i < firsts.Length; i++)
            {
                int stage = i;
                firsts[i].InputObserver = x => Checked(firsts[stage], () => statistics[stage].Add(x));
            }
            for (int i = 0; i < windows.Count; i++)
            {
                int window = windows.First + i;
                Forward(input, window, result => output?.Invoke(window, result));
                if (!WindowSegments.EndsSegment(i, windows.Count)) continue;
                foreach (InputStatistics stage in statistics) stage.EndSegment();
            }
        }
        finally
        {
            foreach (LinearSlot slot in firsts) slot.InputObserver = null;
        }
        return statistics;
    }

    /// <summary>
    /// Statistics of one stage's inputs in the quantized model, and their product with the full-precision ones: C = Xfp^T Xq / tokens [n, n].
    /// </summary>
    /// <param name="stage">Number of the stage.</param>
    /// <param name="fullInput">Input of the block on the full-precision stream.</param>
    /// <param name="quantizedInput">Input of the block on the quantized stream.</param>
    /// <param name="windows">The windows to use.</param>
    /// <param name="cross">Whether C is wanted; else it is null.</param>
    /// <param name="useDense">Puts the full-precision weights into the block.</param>
    /// <param name="useQuantized">Puts the weights quantized so far into the block.</param>
    public StageInputs Pair(
        int stage, ActivationStore fullInput, ActivationStore quantizedInput, WindowRange windows, bool cross, Action useDense, Action useQuantized)
    {
        LinearSlot slot = block.Slots[DecoderBlock.InputStages[stage][0]];
        int n = slot.InFeatures;
        var statistics = new InputStatistics(n);
        SegmentedMatrix? sum = cross ? new SegmentedMatrix((long)n * n) : null;
        using Tensor full = device.Empty(fullInput.Rows, n), product = device.Empty(n, n);
        for (int i = 0; i < windows.Count; i++)
        {
            int window = windows.First + i;
            if (sum is not null)
            {
                useDense();
                RunTo(stage, fullInput, window, x => device.Kernels.Copy(x, full));
                useQuantized();
            }
            RunTo(stage, quantizedInput, window, x => Checked(slot, () =>
            {
                statistics.Add(x);
                if (sum is null) return;
                device.Kernels.MatMul(full, true, x, false, product, accumulate: false);
                sum.Add(product);
            }));
            if (!WindowSegments.EndsSegment(i, windows.Count)) continue;
            statistics.EndSegment();
            sum?.EndSegment();
        }
        double[]? mean = sum?.Total;
        for (int i = 0; i < mean?.Length; i++) mean[i] /= statistics.Tokens;
        return new StageInputs(statistics, mean);
    }

    /// <summary>Runs the block as it stands over a stream, which then holds the next block's input.</summary>
    public void Advance(ActivationStore stream)
    {
        for (int window = 0; window < stream.Windows; window++) Forward(stream, window, output => stream.Write(window, output));
    }

    private void Checked(LinearSlot slot, Action add)
    {
        try
        {
            add();
        }
        catch (CalibrationException failure)
        {
            throw new CalibrationException($"{block.Name}.{slot.Name}: {failure.Message} Finished blocks are kept.", failure);
        }
    }

    private void Forward(ActivationStore input, int window, Action<Tensor>? output) => Run(block.Forward, input, window, output);

    private void RunTo(int stage, ActivationStore input, int window, Action<Tensor> observe) =>
        Run((tape, x, shape) => block.StageInput(stage, tape, x, shape), input, window, observe);

    private void Run(Func<Tape, Variable, SequenceShape, Variable> function, ActivationStore input, int window, Action<Tensor>? output)
    {
        cancellation.ThrowIfCancellationRequested();
        using Tensor x = device.Empty(input.Rows, input.Columns);
        input.Read(window, x);
        using var tape = new Tape(device, recording: false);
        Variable y = function(tape, new Variable(x), new SequenceShape(1, input.Rows));
        output?.Invoke(y.Value);
    }
}
