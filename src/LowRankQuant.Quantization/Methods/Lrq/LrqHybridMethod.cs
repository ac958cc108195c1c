using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Methods.Lrq;

/// <summary>LRQ as its released code does it: low rank or full by the size of each layer (<see cref="ScaleShape.ReleasedHybridFor"/>).</summary>
public sealed class LrqHybridMethod : LearnedRoundingMethod
{
    /// <inheritdoc/>
    public override string Name => "lrq-hybrid";

    /// <inheritdoc/>
    public override string Summary => "LRQ as its released code does it: low rank in large layers, full matrices in small ones";

    /// <inheritdoc/>
    public override string Source => "the released code of LRQ";

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        (double rate, GridStart start) = LearningRates.Of(request, ScaleForm.LowRank);
        return new HybridSettings { Steps = Training(request, rate), First = LearnedStart.Resolve(request, start), AlwaysSearched = request.AllTwoLevel };
    }

    private sealed record HybridSettings : ScaledSettings
    {
        public override string Method => "lrq-hybrid";

        public override ScaleShape ShapeOf(int outFeatures, int inFeatures) => ScaleShape.ReleasedHybridFor(outFeatures, inFeatures);

        public override string Describe() => $"rounding learned with scaling matrices of low rank, or full ones in small layers, first {GridNames.Describe(Start)}";
    }
}
