using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// How far a block is from what it was once it is quantized as the recipe says, weights rounded to nearest: mean squared difference of its outputs over calibration windows.
/// What searches over transforms go by.
/// </summary>
internal sealed class BlockError : IDisposable
{
    private readonly PreparedModel _prepared;
    private readonly ActivationStream _inputs;
    private readonly ActivationStream _target;
    private readonly int _windows;
    private readonly IReadOnlyList<bool[]>? _masks;
    private readonly CancellationToken _cancellation;

    /// <summary>Notes what the block gives as it is.</summary>
    /// <param name="prepared">Finds quantizers.</param>
    /// <param name="block">The block.</param>
    /// <param name="inputs">Windows in front of it.</param>
    /// <param name="windows">The first so many are looked at.</param>
    /// <param name="masks">Which of their tokens add to the error; null for all.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public BlockError(PreparedModel prepared, IDecoderBlock block, ActivationStream inputs, int windows, IReadOnlyList<bool[]>? masks, CancellationToken cancellation)
    {
        (_prepared, _inputs, _windows, _masks, _cancellation) = (prepared, inputs, windows, masks, cancellation);
        _target = inputs.Fork();
        _target.Advance(block, null, cancellation);
    }

    /// <summary>The error of the block as it stands now.</summary>
    public double Of(IDecoderBlock block)
    {
        Device device = _prepared.Model.Device;
        using BlockQuantizers quantizers = _prepared.Fitting(block).Find(_prepared.Recipe.Activations, _prepared.Recipe.Cache, _inputs, _windows, measured: false, _cancellation);
        using SlotSwap rounded = SlotSwap.RoundedToNearest(block, _prepared.Recipe.SchemeFrom(GridStart.MinMax), device);
        using IDisposable used = quantizers.Use();
        var sum = new WindowSum(_windows);
        _inputs.Look(block, 0, _windows, (window, output) =>
        {
            using Tensor target = device.Empty(output.Shape);
            _target.Read(window, target);
            using Tensor? weights = TokenWeights.OfMask(device, _masks?[window]);
            sum.Add(device.Kernels.SquaredError(output, target, weights, 1f / output.Count, null));
        }, _cancellation, batch: 1);
        return sum.Total / _windows;
    }

    /// <inheritdoc/>
    public void Dispose() => _target.Dispose();
}
