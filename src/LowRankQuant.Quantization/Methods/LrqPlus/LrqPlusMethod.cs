using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Quantization.Methods.Gptq;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Methods.Lrq;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.LrqPlus;

/// <summary>
/// What goes beyond LRQ at the same stored format: offsets beside its scales, zero points that are learned, codes of another method to begin at, rounding that hardens on the way, and codes that the whole model's divergence has the last word on. Each is an option; the defaults are what won
/// (docs/results/lrq-plus.md).
/// </summary>
public sealed class LrqPlusMethod : LearnedRoundingMethod
{
    /// <summary>The form of D.</summary>
    internal static readonly RecipeOption<ScaleForm> Scales = Declare.Choice<ScaleForm>(
        "scales", "Scales within the rounding: low-rank (LRQ), full (one for every weight, as FlexRound), or none",
        [new("low-rank", ScaleForm.LowRank), new("full", ScaleForm.Full), new("none", ScaleForm.None)], "full");

    /// <summary>Whether V is learned.</summary>
    internal static readonly RecipeOption<bool> Offsets = Declare.Flag("offsets", "Learn an offset in front of the rounding for every weight, as AutoRound", "true, but on grids of floats");

    /// <summary>Whether zero points are learned.</summary>
    internal static readonly RecipeOption<bool> ZeroPoints = Declare.Flag("zero_points", "Learn zero points, where the grid stores one per group", "false");

    /// <summary>The codes that learning begins at.</summary>
    internal static readonly RecipeOption<FirstCodes> Codes = Declare.Choice<FirstCodes>(
        "codes", "Codes that learning begins at: grid (the nearest on the first grid), or those of gptq or flrq+",
        [new("grid", FirstCodes.Grid), new("gptq", FirstCodes.Gptq), new("flrq+", FirstCodes.FlrqPlus)], "grid");

    /// <summary>Whether the rounding is soft at first.</summary>
    internal static readonly RecipeOption<bool> Harden = Declare.Flag("harden", "Round softly at first, and harder with every twentieth of the steps (TesseraQ)", "true, but on grids of floats");

    /// <summary>Rates by code width: the row with the largest width not above the one asked for. Half of those without hardening at 3 bits (docs/results/lrq-plus.md).</summary>
    private static readonly (int Bits, double Rate)[] Rates = [(3, 5e-3), (2, 1e-2)];

    private const int UsualTuneSteps = 64;

    // Times 1 / sqrt(steps): to one code a gradient is mostly noise, with which it wanders as far as the root of the steps takes it (docs/results/lrq-plus.md).
    private const double CodeRateOfOneStep = 0.1;

    /// <inheritdoc/>
    public override string Name => "lrq+";

    /// <inheritdoc/>
    public override string Summary => "lrq with offsets, rounding that hardens on the way, and codes tuned by the whole model's divergence";

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [Scales, LrqMethod.Rank, Offsets, ZeroPoints, Codes, Harden, .. base.Options];

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override int TuneSteps(int bits) => UsualTuneSteps;

    /// <inheritdoc/>
    public override double TuneCodeRate(int steps) => Math.Round(CodeRateOfOneStep / Math.Sqrt(steps), 5);

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        OptionValues values = request.Values;
        ScaleForm form = values.Or(Scales, ScaleForm.Full);
        bool hasSteps = request.Grid is not FloatGrid, offsets = values.Or(Offsets, hasSteps);
        FirstCodes codes = values.Or(Codes, FirstCodes.Grid);
        if (form != ScaleForm.LowRank) request.Refuse("is a matter of `scales` low-rank", LrqMethod.Rank);
        if (form == ScaleForm.None && !offsets) request.Problems.Add("`scales` none and `offsets` false leave nothing but steps to learn; leave one of them out.");
        if (!hasSteps)
        {
            if (values.Find(Offsets) == true) request.Problems.Add($"`offsets` true: they are in steps, which the floats of {request.Grid} do not have; leave it out.");
            if (values.Find(Harden) == true) request.Problems.Add($"`harden` true: its ramps are in steps, which the floats of {request.Grid} do not have; leave it out.");
        }
        if (values.Find(ZeroPoints) == true && request.Grid is not (UniformGrid { Symmetric: false } or AffineGrid)) request.Problems.Add($"`zero_points` true: {request.Grid} stores no zero point per group; leave it out, or take an asymmetric uniform grid or one with float minima.");
        if (codes != FirstCodes.Grid) request.Refuse("is found by the method that `codes` names; leave one of them out", TrainingOptions.Start);
        (double rate, GridStart start) = codes == FirstCodes.Grid ? LearningRates.Of(request, form) : LearningRates.OfResidual(request);
        if (codes == FirstCodes.Grid && request is { IsPaper: false, Grid: UniformGrid or AffineGrid }) rate = Rates.FirstOrDefault(row => request.Grid.Bits >= row.Bits, Rates[^1]).Rate;
        return new LrqPlusSettings
        {
            Scales = form,
            Rank = form == ScaleForm.LowRank ? LrqMethod.ResolveRank(request, LrqMethod.Rank) : 0,
            HasOffsets = offsets,
            HasZeroPoints = values.Or(ZeroPoints, false),
            Codes = codes,
            Before = Before(request, codes),
            Steps = Training(request, rate) with { Harden = values.Or(Harden, hasSteps) },
            First = codes == FirstCodes.Grid ? LearnedStart.Resolve(request, start) : start,
            AlwaysSearched = request.AllTwoLevel,
        };
    }

    // The other method as it is where nobody asks it for anything, without branches.
    private static MethodSettings? Before(MethodRequest request, FirstCodes codes)
    {
        return codes switch
        {
            FirstCodes.Gptq => new GptqMethod().Resolve(Plain([])),
            FirstCodes.FlrqPlus => new FlrqPlusMethod().Resolve(Plain(new Dictionary<string, string> { [CorrectionOptions.ExtraSize.Key] = "0" })),
            _ => null,
        };

        MethodRequest Plain(Dictionary<string, string> given) => request with { Notes = [], Values = new OptionValues(given, [CorrectionOptions.ExtraSize], request.Problems) };
    }
}
