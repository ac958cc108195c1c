using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Samples;

/// <summary>A method of one's own, whole: round to nearest on a range that is a part of the weights', as clipping does. LRQ_METHODS names the library to lrq.</summary>
public sealed class ShrunkRangeMethod : QuantizationMethod
{
    private static readonly RecipeOption<double> Range = Declare.Number("range", "Part of the range of the weights that the grid covers", "part of the range", 0.1, 1, "0.9");

    /// <inheritdoc/>
    public override string Name => "shrunk-range";

    /// <inheritdoc/>
    public override string Summary => "round to nearest on a part of the range of the weights (a sample)";

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [Range];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.None;

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request) => new Settings(request.Values.Or(Range, 0.9));

    private sealed record Settings(double Part) : MethodSettings
    {
        public override string Method => "shrunk-range";

        public override IReadOnlyList<KeyValuePair<string, string>> Values => [Range.With(Part)];

        public override IBlockMethod Create() => new Rounding(Part);

        public override string Describe() => FormattableString.Invariant($"round to nearest on {Part} of the range of the weights");
    }

    private sealed class Rounding(double part) : IBlockMethod
    {
        public string Name => "shrunk-range";

        public bool NeedsCalibration => false;

        public QuantizedBlock Quantize(BlockContext context) => new([.. context.Block.Slots.Select(slot => Round(context, slot))]);

        private QuantizedWeight Round(BlockContext context, LinearSlot slot)
        {
            float[] weight = slot.WeightValues();
            FittedGrid grid = FittedGrid.Find(weight, slot.OutFeatures, slot.InFeatures, context.SchemeOf(slot), context.Device.HostWorkers);
            return grid.WithScales([.. grid.Scales.Select(scale => (float)(scale * part))]).Round(weight, default, context.Device.HostWorkers);
        }
    }
}
