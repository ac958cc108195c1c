using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Methods.FlexRound;

/// <summary>FlexRound (Lee et al., ICML 2023) as LRQ's released code has it: D = S2 + r2 with a full S2.</summary>
public sealed class FlexRoundMethod : LearnedRoundingMethod
{
    /// <inheritdoc/>
    public override string Name => "flexround";

    /// <inheritdoc/>
    public override string Summary => "rounding learned block by block, with a scale of its own for every weight";

    /// <inheritdoc/>
    public override string Source => "Lee et al., FlexRound, ICML 2023";

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        (double rate, GridStart start) = LearningRates.Of(request, ScaleForm.Full);
        return new FlexRoundSettings { Steps = Training(request, rate), First = LearnedStart.Resolve(request, start), AlwaysSearched = request.AllTwoLevel };
    }

    private sealed record FlexRoundSettings : ScaledSettings
    {
        public override string Method => "flexround";

        public override ScaleShape ShapeOf(int outFeatures, int inFeatures) => new(ScaleForm.Full, 0);

        public override string Describe() => $"rounding learned for every weight, first {GridNames.Describe(Start)}";
    }
}
