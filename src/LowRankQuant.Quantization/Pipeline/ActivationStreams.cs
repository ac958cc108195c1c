using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// The full-precision and the quantized activation stream of a run. After <see cref="AdvanceFullPrecision"/> the full-precision stream holds the block's
/// target, after <see cref="AdvanceQuantized"/> the quantized one holds the next block's input.
/// </summary>
internal sealed class ActivationStreams : IDisposable
{
    private readonly Device _device;
    private readonly LossWeighting _weighting;
    private readonly ActivationStream _full;
    private readonly ActivationStream _quantized;
    private readonly ActivationStream? _input;
    private RecordedInputs? _recorded;

    private ActivationStreams(Device device, ActivationStream full, ActivationStream? quantized, int trainingWindows, LossWeighting weighting, bool keepInput, bool[][]? masks)
    {
        _device = device;
        _full = full;
        _quantized = quantized ?? full.Fork();
        _input = keepInput ? full.Shadow() : null;
        _weighting = weighting;
        Streams = new BlockStreams(_quantized, full, trainingWindows) { FullPrecisionInput = _input, Masks = masks };
    }

    public BlockStreams Streams { get; private set; }

    public int TrainingWindows => Streams.TrainingWindows;

    public int HeldOutWindows => Streams.HeldOutWindows;

    /// <summary>Both streams at the input of block 0.</summary>
    /// <param name="model">The model.</param>
    /// <param name="calibration">Token ids.</param>
    /// <param name="budget">Memory for the streams.</param>
    /// <param name="folder">Where they go when it is not enough.</param>
    /// <param name="recipe">Batch and loss.</param>
    /// <param name="keepInput">Whether a block's input on the full-precision stream is kept beside its target.</param>
    /// <param name="original">The embedding of the full-precision stream. Stays the caller's.</param>
    /// <param name="embedding">The embedding of the quantized stream; null for the same. Stays the caller's.</param>
    public static ActivationStreams Create(
        CausalModel model, CalibrationSet calibration, MemoryBudget budget, string folder, Recipe recipe, bool keepInput, InputEmbedding original, InputEmbedding? embedding)
    {
        int[][] windows = [.. calibration.Windows, .. calibration.HeldOutWindows];
        var options = new StreamOptions(budget, folder, recipe.Batch);
        ActivationStream full = ActivationStream.Embed(model, original, windows, options);
        ActivationStream? quantized = embedding is null ? null : ActivationStream.Embed(model, embedding, windows, options);
        return new ActivationStreams(model.Device, full, quantized, calibration.Windows.Length, recipe.Loss, keepInput, calibration.Masks);
    }

    /// <summary>Runs the full-precision block over the full-precision stream; gives every window's number and its output to who looks on.</summary>
    public void AdvanceFullPrecision(IDecoderBlock block, CancellationToken cancellation, Action<int, Tensor>? see = null)
    {
        _input?.CopyFrom(_full);
        _full.Advance(block, see, cancellation);
    }

    /// <summary>
    /// Whether what the linears of a block get is kept from the pass in full precision. Those who look see windows one by one, and products of few rows come out otherwise together
    /// with more: only where windows pass one by one anyway.
    /// </summary>
    public static bool Records(Recipe recipe, IBlockMethod method, IDecoderBlock block) => method.NeedsFullPrecisionInputs && recipe.Batch == 1 && block.Routers.Count == 0;

    /// <summary>The same, keeping what the block's linears get for the method that looks at it; until <see cref="DropInputs"/>.</summary>
    public void RecordFullPrecision(IDecoderBlock block, CancellationToken cancellation)
    {
        _input?.CopyFrom(_full);
        _recorded ??= new RecordedInputs(_full);
        _recorded.Advance(block, cancellation);
        Streams = Streams with { FullPrecisionInputs = _recorded };
    }

    /// <summary>Forgets what was kept of a block.</summary>
    public void DropInputs()
    {
        _recorded?.Forget();
        Streams = Streams with { FullPrecisionInputs = null };
    }

    /// <summary>Runs the block, as it stands, over the quantized stream; returns mean losses of some training windows and of the held-out ones.</summary>
    public (double Training, double? HeldOut) AdvanceQuantized(IDecoderBlock block, CancellationToken cancellation, int measured = int.MaxValue)
    {
        measured = Math.Min(measured, TrainingWindows);
        WindowSum training = new(measured), heldOut = new(HeldOutWindows);
        _quantized.Advance(
            block,
            (window, output) =>
            {
                if (window < measured || window >= TrainingWindows) (window < TrainingWindows ? training : heldOut).Add(WindowLoss(window, output));
            },
            cancellation);
        return (training.Total / measured, HeldOutWindows == 0 ? null : heldOut.Total / HeldOutWindows);
    }

    /// <summary>Mean loss of windows <paramref name="start"/> to start + count with the block as it stands.</summary>
    public double Loss(IDecoderBlock block, int start, int count, CancellationToken cancellation)
    {
        var sum = new WindowSum(count);
        _quantized.Look(block, start, count, (window, output) => sum.Add(WindowLoss(window, output)), cancellation);
        return sum.Total / count;
    }

    public void Dispose()
    {
        _recorded?.Dispose();
        _input?.Dispose();
        _quantized.Dispose();
        _full.Dispose();
    }

    private double WindowLoss(int window, Tensor output)
    {
        using Tensor target = _device.Empty(output.Shape);
        _full.Read(window, target);
        using Tensor? weights = TokenWeights.AreNeeded(_weighting, Streams.Masks) ? _device.Empty(output.Rows) : null;
        if (weights is not null) TokenWeights.Fill(weights, target, _weighting, Streams.Masks, [window]);
        return _device.Kernels.SquaredError(output, target, weights, 1f / output.Columns, null);
    }
}
