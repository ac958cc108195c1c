using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>AWQ: channels scaled by what their inputs are like, groups clipped, weights rounded to nearest.</summary>
public sealed class AwqMethod : QuantizationMethod
{
    private const int FewestCandidates = 3;
    private const int MostCandidates = 200;
    private const int UsualCandidates = 20;

    // The paper's figures hold from 16 windows on; every window passes a sub-layer once for each candidate.
    private const int FastSamples = 32;

    private static readonly RecipeOption<AwqScaling> DuoScaling = Declare.Choice<AwqScaling>(
        "duo_scaling", "Whether scales are made of magnitudes of weights beside those of inputs; autoawq: of both, with AutoAWQ's exponents",
        [new("true", AwqScaling.Duo), new("false", AwqScaling.Single), new("autoawq", AwqScaling.AutoAwq)], "true");

    private static readonly RecipeOption<int> Candidates = Declare.Whole(
        "n_grid", "Scales that are tried at every site", "scales that are tried", FewestCandidates, MostCandidates, "20");

    private static readonly RecipeOption<AwqSites> Sites = Declare.Choice(
        "scale_sites", "Which inputs are scaled: all whose fold is exact; as AutoAWQ, without output projections of grouped heads; or those behind norms", SiteNames, "all");

    private static readonly RecipeOption<bool> Clip = Declare.Flag("clip", "Search a clipping range before rounding", "true");

    /// <summary>Which inputs are scaled, as recipes spell it.</summary>
    internal static IReadOnlyList<KeyValuePair<string, AwqSites>> SiteNames => [new("all", AwqSites.All), new("ungrouped", AwqSites.Ungrouped), new("norms", AwqSites.Norms)];

    /// <inheritdoc/>
    public override string Name => "awq";

    /// <inheritdoc/>
    public override string Summary => "channels scaled where inputs are large, groups clipped, then round to nearest";

    /// <inheritdoc/>
    public override string Source => "Lin et al., AWQ, MLSys 2024";

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [DuoScaling, Candidates, Sites, Clip, CorrectionOptions.ExpertFloor];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.Calibration | MethodNeeds.FullPrecisionInputs;

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => true;

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset)
    {
        WindowDefaults usual = WindowDefaults.Of(preset);
        return preset == PresetNames.Paper ? usual : usual with { Samples = FastSamples };
    }

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        OptionValues values = request.Values;
        if (request.AllTwoLevel) request.Refuse("does not apply to two-level grids: their search covers clipping; leave it out", Clip);
        bool searches = request.AllTwoLevel || request.Grid is AffineGrid;
        if (request.Grid is AffineGrid) request.Refuse("does not apply to grids with float minima: their search covers clipping; leave it out", Clip);
        return new AwqSettings
        {
            Scales = new AwqOptions { Scaling = values.Or(DuoScaling, AwqScaling.Duo), Candidates = values.Or(Candidates, UsualCandidates), Sites = values.Or(Sites, AwqSites.All) },
            Clips = !searches && values.Or(Clip, true),
            AlwaysSearched = searches,
            ExpertFloor = values.Or(CorrectionOptions.ExpertFloor, CorrectionOptions.UsualExpertFloor),
        };
    }

    private sealed record AwqSettings : MethodSettings
    {
        public required AwqOptions Scales { get; init; }

        public required bool Clips { get; init; }

        /// <summary>Whether layers lie on two-level grids or have float minima, whose search covers clipping.</summary>
        public required bool AlwaysSearched { get; init; }

        public required int ExpertFloor { get; init; }

        public override string Method => "awq";

        public override IReadOnlyList<KeyValuePair<string, string>> Values =>
        [
            DuoScaling.With(Scales.Scaling), Candidates.With(Scales.Candidates), Sites.With(Scales.Sites), .. AlwaysSearched ? [] : new[] { Clip.With(Clips) },
            CorrectionOptions.ExpertFloor.With(ExpertFloor),
        ];

        public override bool FitsLayers => true;

        public override string? WholeBlock => "scales channels of whole blocks";

        public override TransformSettings Transform => new AwqTransformSettings(Scales);

        internal override HeadFit Head => new(new AwqSolver(Clips, GridStart.MinMax), 0, OriginalInputs: true);

        // Scales are found before the method is asked, and timed with the transforms.
        public override IReadOnlyList<TimedPart> TimedParts => [new TimedPart(_ => this, windows => windows, 1, 3, (samples, _) => samples)];

        public override IBlockMethod Create() => new LayerwiseMethod(Method, new AwqSolver(Clips, GridStart.MinMax), new LayerwiseOptions { ExpertFloor = ExpertFloor });

        public override string Describe() => $"{Transform.Describe()}; {(Clips ? "groups clipped, then rounded to nearest" : "rounded to nearest")}";
    }
}
