using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.ErrorFit;

/// <summary>The one-shot peers of FLRQ: weights rounded to nearest, and a low-rank branch fitted to the error in one metric or another.</summary>
public sealed class ErrorFitMethod : QuantizationMethod
{
    private const double UsualDamping = 0.01;
    private static readonly CorrectionOptions Shared = new(new CorrectionDefaults { Rule = RankRule.Fixed });

    private static readonly RecipeOption<bool> Clip = Declare.Flag("clip", "Search a clipping range before rounding", "false");

    private static readonly RecipeOption<double> Damping = DampingOption.Of("0.01");

    private readonly ErrorMetric _metric;

    private ErrorFitMethod(string name, string summary, string source, ErrorMetric metric)
    {
        Name = name;
        Summary = summary;
        Source = source;
        _metric = metric;
    }

    /// <summary>All of them.</summary>
    public static IReadOnlyList<QuantizationMethod> All { get; } =
    [
        new ErrorFitMethod("svd", "a low-rank branch from the truncated SVD of the rounding error", "Yao et al., ZeroQuant-V2, 2023", ErrorMetric.Plain),
        new ErrorFitMethod("lqer", "the same under its published name", "Zhang et al., LQER, 2402.02446", ErrorMetric.Plain),
        new ErrorFitMethod("l2qer", "the error scaled by mean input magnitudes first", "Zhang et al., LQER, 2402.02446", ErrorMetric.MeanMagnitude),
        new ErrorFitMethod("qera-approx", "the error scaled by root mean squares of inputs first", "Zhang et al., QERA, 2410.06040", ErrorMetric.RootMeanSquare),
        new ErrorFitMethod("qera-exact", "the error in the metric of the full input covariance", "Zhang et al., QERA, 2410.06040", ErrorMetric.Covariance),
    ];

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override string Summary { get; }

    /// <inheritdoc/>
    public override string Source { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => UsesDamping ? [.. Shared.All, Clip, Damping] : [.. Shared.All, Clip];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.Calibration | MethodNeeds.FullPrecisionInputs;

    private bool UsesDamping => _metric == ErrorMetric.Covariance;

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => true;

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset) => CorrectionOptions.Windows(values, preset);

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        if (request.Grid is not UniformGrid && request.Values.Find(Clip) == true) request.Problems.Add($"`clip` true does not apply to `grid` {request.Grid}: its search covers clipping.");
        double damping = UsesDamping ? request.Values.Or(Damping, UsualDamping) : UsualDamping;
        return Shared.Resolve(request, new ErrorFitSettings(Name, _metric, request.Values.Or(Clip, false))
        {
            Damping = double.IsNaN(damping) ? UsualDamping : damping,
            ChooseDamping = double.IsNaN(damping),
        });
    }

    private sealed record ErrorFitSettings(string Name, ErrorMetric Metric, bool Clip) : CorrectionSettings
    {
        public override string Method => Name;

        protected override CorrectionOptions Options => Shared;

        protected override IEnumerable<KeyValuePair<string, string>> Own
        {
            get
            {
                yield return ErrorFitMethod.Clip.With(Clip);
                if (Metric == ErrorMetric.Covariance) yield return ErrorFitMethod.Damping.With(ChooseDamping ? double.NaN : Damping);
            }
        }

        protected override ILayerSolver Solver(bool withBranch) => new ErrorFitSolver(Metric, withBranch ? RankFor : _ => 0, Clip);
    }
}
