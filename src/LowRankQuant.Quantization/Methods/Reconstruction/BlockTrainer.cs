using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// Block reconstruction (section 2 of the LRQ specification): the quantized block on the quantized stream is fitted to the output of the
/// full-precision block on the full-precision stream,
/// <code>loss = 1 / (B d) sum over b, t, j of w_t (F_q(X~) - Y)^2</code>
/// with Adam and a cosine to zero, or steps against the signs of gradients. w_t is 1, or 1 / mean square of the token's target.
/// </summary>
internal sealed class BlockTrainer : IDisposable
{
    private const double UsualLossDecay = 0.9;
    private readonly IDecoderBlock _block;
    private readonly BlockStreams _streams;
    private readonly ActivationStream _inputs;
    private readonly ParameterArena _arena;
    private readonly TrainingSettings _options;
    private readonly Device _device;
    private readonly Tensor _input;
    private readonly Tensor _target;
    private readonly Tensor? _weights;
    private readonly Tensor? _metric;
    private double _usualLoss;

    public BlockTrainer(IDecoderBlock block, BlockStreams streams, ParameterArena arena, TrainingSettings options, float[]? metric = null)
    {
        _block = block;
        _streams = streams;
        _arena = arena;
        _options = options;
        _device = arena.Device;
        _inputs = !options.FullPrecisionInputs ? streams.QuantizedInput
            : streams.FullPrecisionInput ?? throw new ArgumentException("Learning on full-precision inputs needs them.", nameof(streams));
        int rows = options.Batch * _inputs.Rows, columns = _inputs.Columns;
        _input = _device.Empty(rows, columns);
        _target = _device.Empty(rows, columns);
        _metric = metric is null ? null : _device.From(metric, columns, columns);
        _weights = TokenWeights.AreNeeded(options.Loss, streams.Masks) ? _device.Empty(rows) : null;
    }

    /// <summary>One forward and backward pass over the given windows and one Adam step; returns the loss before it.</summary>
    /// <param name="windows">Numbers of the windows.</param>
    /// <param name="rate">Learning rate.</param>
    /// <param name="step">Adam step, from 1.</param>
    /// <param name="stepRate">Learning rate of static steps of activations.</param>
    /// <param name="judge">Told a loss that is a number, with the parameters that have it still in their place; null for nobody.</param>
    public double Step(ReadOnlySpan<int> windows, double rate, int step, double stepRate = 0, Action<double>? judge = null)
    {
        double loss = Gradients(windows);
        if (!double.IsFinite(loss)) return loss;
        judge?.Invoke(loss);
        if (_options.SignDescent)
        {
            _arena.SignStep(rate);
            return loss;
        }
        double usual = step == 1 ? loss : _usualLoss, limit = _options.SpikeLimit * usual;
        if (loss > limit) _arena.ScaleGradients(limit / loss);
        _usualLoss = (UsualLossDecay * usual) + ((1 - UsualLossDecay) * Math.Min(loss, limit));
        _arena.AdamStep(rate, step, stepRate);
        return loss;
    }

    /// <summary>The loss of the given windows, and its gradients in the arena.</summary>
    public double Gradients(ReadOnlySpan<int> windows)
    {
        int length = _inputs.Rows;
        _arena.ClearGradients();
        using var tape = new Tape(_device, recording: true) { Windows = [.. Enumerable.Range(0, windows.Length + 1).Select(window => window * length)] };
        (Variable output, Tensor target, Tensor? weights) = Forward(tape, windows);
        return tape.SquaredErrorAndBackward(output, target, weights, 1f / (windows.Length * (float)output.Value.Columns), _metric);
    }

    /// <summary>Mean loss of windows <paramref name="first"/> to first + count, per window as in a batch of one.</summary>
    public double MeanLoss(int first, int count, CancellationToken cancellation)
    {
        var sum = new WindowSum(count);
        for (int done = 0; done < count; done += _options.Batch)
        {
            cancellation.ThrowIfCancellationRequested();
            int[] windows = [.. Enumerable.Range(first + done, Math.Min(_options.Batch, count - done))];
            using var tape = new Tape(_device, recording: false);
            (Variable predicted, Tensor target, Tensor? weights) = Forward(tape, windows);
            Tensor output = predicted.Value;
            int length = output.Rows / windows.Length;
            for (int i = 0; i < windows.Length; i++)
            {
                int row = i * length;
                using var one = new Tape(_device, recording: false);
                sum.Add(one.SquaredErrorAndBackward(
                    new Variable(output.RowRange(row, length)), target.RowRange(row, length), weights?.Slice(row, length), 1f / output.Columns, _metric));
            }
        }
        return sum.Total / count;
    }

    public void Dispose()
    {
        _input.Dispose();
        _target.Dispose();
        _weights?.Dispose();
        _metric?.Dispose();
    }

    private (Variable Output, Tensor Target, Tensor? Weights) Forward(Tape tape, ReadOnlySpan<int> windows)
    {
        int length = _inputs.Rows, rows = windows.Length * length;
        Tensor target = _target.RowRange(0, rows);
        for (int i = 0; i < windows.Length; i++) _streams.Target.Read(windows[i], target.RowRange(i * length, length));
        Tensor? weights = _weights?.Slice(0, rows);
        if (weights is not null) TokenWeights.Fill(weights, target, _options.Loss, _streams.Masks, windows);
        return (_inputs.Forward(_block, tape, windows, _input.RowRange(0, rows)), target, weights);
    }
}
