using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>FLRQ by the paper's rules: flexible rank by sketches (R1-FLR), best low-rank term under clipping (BLC).</summary>
public sealed class FlrqMethod : QuantizationMethod
{
    private static readonly CorrectionOptions Shared = new(new CorrectionDefaults { Rule = RankRule.R1Flr, Rules = CorrectionOptions.RankRules });

    private static readonly RecipeOption<int> PowerIterations = Declare.Whole("power_iterations", "Power iterations of a sketch", "power iterations of a sketch", 0, 64, "2");

    private static readonly RecipeOption<SketchForm> Sketch = Declare.Choice<SketchForm>(
        "sketch", "Find low-rank terms one by one, as the paper does, or in blocks", [new("rank1", SketchForm.RankOne), new("block", SketchForm.Block)], "rank1");

    private static readonly RecipeOption<double> ScalePower = Declare.Number("scale_power", "Exponent of the activation scale", "exponent of the activation scale", 0, 8, "2.5");

    private static readonly RecipeOption<int> Epochs = Declare.Whole("epochs", "Epochs of BLC", "epochs of BLC", 0, 1000, "20 at 2 bits, else 1");

    private static readonly RecipeOption<bool> Clip = Declare.Flag("clip", "Search a clipping range before rounding", "true on uniform grids");

    /// <inheritdoc/>
    public override string Name => "flrq";

    /// <inheritdoc/>
    public override string Summary => "clipped codes and a low-rank branch whose rank is chosen for every layer";

    /// <inheritdoc/>
    public override string Source => "Gul et al., FLRQ, 2026";

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [.. Shared.All, PowerIterations, Sketch, ScalePower, Epochs, Clip];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.Calibration | MethodNeeds.FullPrecisionInputs;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => true;

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset) => CorrectionOptions.Windows(values, preset);

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        OptionValues values = request.Values;
        bool uniform = request.Grid is UniformGrid;
        if (!uniform && values.Find(Clip) == true) request.Problems.Add($"`clip` true does not apply to `grid` {request.Grid}: its search covers clipping.");
        FlrqSettings settings = Shared.Resolve(request, new FlrqSettings
        {
            PowerIterations = values.Or(PowerIterations, 2),
            Sketch = values.Or(Sketch, SketchForm.RankOne),
            ScalePower = values.Or(ScalePower, 2.5),
            Epochs = values.Or(Epochs, request.Grid.Bits <= 2 ? 20 : 1),
            Clip = values.Or(Clip, uniform),
        });
        if (!settings.MayHaveBranches) CorrectionOptions.RefuseWithoutBranches(request, PowerIterations, Sketch);
        return settings;
    }

    private sealed record FlrqSettings : CorrectionSettings
    {
        public required int PowerIterations { get; init; }

        public required SketchForm Sketch { get; init; }

        public required double ScalePower { get; init; }

        public required int Epochs { get; init; }

        public required bool Clip { get; init; }

        public override string Method => "flrq";

        // W, what is peeled, a residual that becomes its error, and twice as much that was let go; of H nothing but itself. Fitted to other inputs, what their products take.
        public override FitMemory FitMemory => QuantizedInputs ? FitMemory.Usual : new FitMemory(5, 1);

        protected override CorrectionOptions Options => Shared;

        protected override IEnumerable<KeyValuePair<string, string>> Own =>
        [
            .. MayHaveBranches ? [FlrqMethod.PowerIterations.With(PowerIterations), FlrqMethod.Sketch.With(Sketch)] : Array.Empty<KeyValuePair<string, string>>(),
            FlrqMethod.ScalePower.With(ScalePower), FlrqMethod.Epochs.With(Epochs), FlrqMethod.Clip.With(Clip),
        ];

        // Epochs take turns between branch and codes; without a branch there is nothing to repeat.
        protected override ILayerSolver Solver(bool withBranch) => new FlrqSolver(new FlrqOptions
        {
            Rule = withBranch ? RankRule : RankRule.Fixed,
            Rank = withBranch ? Rank : 0,
            ExtraSize = ExtraSize,
            PowerIterations = PowerIterations,
            Sketch = Sketch,
            ScalePower = ScalePower,
            Epochs = withBranch ? Epochs : 0,
            Clip = Clip,
        });
    }
}
