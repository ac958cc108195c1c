using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// The full-precision and the quantized activation stream of a run. Advancing overwrites a stream in place, window by window: after
/// <see cref="AdvanceFullPrecision"/> the full-precision store holds the block's target, after <see cref="AdvanceQuantized"/> the quantized one holds
/// the next block's input.
/// </summary>
internal sealed class ActivationStreams : IDisposable
{
    private readonly Device _device;
    private readonly int _batch;
    private readonly LossWeighting _weighting;
    private readonly ActivationStore _full;
    private readonly ActivationStore _quantized;
    private readonly ActivationStore? _input;

    private ActivationStreams(Device device, ActivationStore full, ActivationStore quantized, ActivationStore? input, int trainingWindows, Recipe recipe)
    {
        _device = device;
        _full = full;
        _quantized = quantized;
        _input = input;
        _batch = recipe.Batch;
        _weighting = recipe.Loss;
        Streams = new BlockStreams(quantized, full, trainingWindows) { FullPrecisionInput = input };
    }

    public BlockStreams Streams { get; }

    public int TrainingWindows => Streams.TrainingWindows;

    public int HeldOutWindows => Streams.HeldOutWindows;

    /// <summary>Both streams at the input of block 0.</summary>
    /// <param name="model">The model.</param>
    /// <param name="calibration">Token ids.</param>
    /// <param name="budget">Memory for the streams.</param>
    /// <param name="folder">Where they go when it is not enough.</param>
    /// <param name="recipe">Batch and loss.</param>
    /// <param name="keepInput">Whether a block's input on the full-precision stream is kept beside its target.</param>
    public static ActivationStreams Create(
        CausalModel model, CalibrationSet calibration, MemoryBudget budget, string folder, Recipe recipe, bool keepInput)
    {
        int length = calibration.Windows[0].Length, hidden = model.Config.HiddenSize;
        int windows = calibration.Windows.Length + calibration.HeldOutWindows.Length;
        var full = new ActivationStore(windows, length, hidden, budget, folder);
        var quantized = new ActivationStore(windows, length, hidden, budget, folder);
        ActivationStore? input = keepInput ? new ActivationStore(windows, length, hidden, budget, folder) : null;
        using Tensor embedding = model.LoadEmbedding(), row = model.Device.Empty(length, hidden);
        for (int i = 0; i < windows; i++)
        {
            int[] ids = i < calibration.Windows.Length ? calibration.Windows[i] : calibration.HeldOutWindows[i - calibration.Windows.Length];
            model.Embed(embedding, ids, row);
            full.Write(i, row);
            quantized.Write(i, row);
        }
        return new ActivationStreams(model.Device, full, quantized, input, calibration.Windows.Length, recipe);
    }

    /// <summary>Runs the full-precision block over the full-precision stream.</summary>
    public void AdvanceFullPrecision(DecoderBlock block, CancellationToken cancellation)
    {
        if (_input is not null)
        {
            using Tensor window = _device.Empty(_full.Rows, _full.Columns);
            for (int i = 0; i < _input.Windows; i++)
            {
                _full.Read(i, window);
                _input.Write(i, window);
            }
        }
        ForEachBatch(0, _full.Windows, _full, block, (first, batch, output) => Write(_full, first, batch, output), cancellation);
    }

    /// <summary>Runs the block, as it stands, over the quantized stream; returns mean losses of some training windows and of the held-out ones.</summary>
    public (double Training, double? HeldOut) AdvanceQuantized(DecoderBlock block, CancellationToken cancellation, int measured = int.MaxValue)
    {
        measured = Math.Min(measured, TrainingWindows);
        WindowSum training = new(measured), heldOut = new(HeldOutWindows);
        ForEachBatch(0, _quantized.Windows, _quantized, block, (first, batch, output) =>
        {
            for (int i = 0; i < batch; i++)
            {
                int window = first + i;
                if (window < measured || window >= TrainingWindows)
                {
                    double loss = WindowLoss(window, output.RowRange(i * _quantized.Rows, _quantized.Rows));
                    (window < TrainingWindows ? training : heldOut).Add(loss);
                }
            }
            Write(_quantized, first, batch, output);
        }, cancellation);
        return (training.Total / measured, HeldOutWindows == 0 ? null : heldOut.Total / HeldOutWindows);
    }

    /// <summary>Mean loss of windows <paramref name="start"/> to start + count with the block as it stands.</summary>
    public double Loss(DecoderBlock block, int start, int count, CancellationToken cancellation)
    {
        var sum = new WindowSum(count);
        ForEachBatch(start, count, _quantized, block, (first, batch, output) =>
        {
            for (int i = 0; i < batch; i++) sum.Add(WindowLoss(first + i, output.RowRange(i * _quantized.Rows, _quantized.Rows)));
        }, cancellation);
        return sum.Total / count;
    }

    public void Dispose()
    {
        _full.Dispose();
        _quantized.Dispose();
        _input?.Dispose();
    }

    private double WindowLoss(int window, Tensor output)
    {
        using Tensor target = _device.Empty(_full.Rows, _full.Columns);
        _full.Read(window, target);
        using Tensor? weights = _weighting == LossWeighting.Relative ? _device.Empty(_full.Rows) : null;
        if (weights is not null) TokenWeights.InverseMeanSquare(target, weights);
        return _device.Kernels.SquaredError(output, target, weights, 1f / _full.Columns, null);
    }

    private static void Write(ActivationStore store, int first, int batch, Tensor output)
    {
        for (int i = 0; i < batch; i++) store.Write(first + i, output.RowRange(i * store.Rows, store.Rows));
    }

    private void ForEachBatch(
        int start, int count, ActivationStore source, DecoderBlock block, Action<int, int, Tensor> use, CancellationToken cancellation)
    {
        using Tensor input = _device.Empty(Math.Min(_batch, count) * source.Rows, source.Columns);
        for (int first = start; first < start + count; first += _batch)
        {
            cancellation.ThrowIfCancellationRequested();
            int batch = Math.Min(_batch, start + count - first);
            for (int i = 0; i < batch; i++) source.Read(first + i, input.RowRange(i * source.Rows, source.Rows));
            using var tape = new Tape(_device, recording: false);
            Variable output = block.Forward(tape, new Variable(input.RowRange(0, batch * source.Rows)), new SequenceShape(batch, source.Rows));
            use(first, batch, output.Value);
        }
    }
}
