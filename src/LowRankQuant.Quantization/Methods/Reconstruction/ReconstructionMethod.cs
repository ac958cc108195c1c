namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// Learned rounding by block reconstruction: LRQ (low-rank D), FlexRound (full D), the per-layer mixture of LRQ's released code, or AutoRound (offsets). They differ only in what is
/// learned of each weight.
/// </summary>
/// <param name="name">Name for reports.</param>
/// <param name="options">How to train.</param>
/// <param name="form">What is learned of a weight.</param>
internal sealed class ReconstructionMethod(string name, TrainingSettings options, IRoundingForm form) : IBlockMethod
{
    private readonly BlockReconstruction _reconstruction = new(options, form);

    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public bool NeedsCalibration => true;

    /// <inheritdoc/>
    public bool NeedsFullPrecisionInput => options.FullPrecisionInputs;

    /// <inheritdoc/>
    public QuantizedBlock Quantize(BlockContext context) => _reconstruction.Solve(
        context, [.. context.Block.Slots.Select(slot => LayerStart.OfWeight(slot, context.SchemeOf(slot), context.Device.HostWorkers))], "rounded to nearest");
}
