namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// Learned rounding by block reconstruction: LRQ (low-rank D), FlexRound (full D), or the per-layer mixture of LRQ's released code. The three differ only
/// in the <see cref="ScaleShape"/> that each weight gets.
/// </summary>
/// <param name="name">Name for reports.</param>
/// <param name="options">How to train.</param>
/// <param name="shapeFor">The form of D for a weight of (outFeatures, inFeatures).</param>
public sealed class ReconstructionMethod(string name, TrainingSettings options, Func<int, int, ScaleShape> shapeFor) : IBlockMethod
{
    private readonly BlockReconstruction _reconstruction = new(options, shapeFor, trainBranches: false);

    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public bool NeedsCalibration => true;

    /// <inheritdoc/>
    public QuantizedBlock Quantize(BlockContext context) => _reconstruction.Solve(
        context, [.. context.Block.Slots.Select(slot => LayerStart.OfWeight(slot, context.SchemeOf(slot), context.Device.HostWorkers))], "rounded to nearest");
}
