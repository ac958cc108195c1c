using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Gptq;

/// <summary>GPTQ: every weight takes up the rounding errors of those before it, in the metric of the inputs; with GPTAQ's correction where it is asked for.</summary>
public sealed class GptqMethod : QuantizationMethod
{
    private const double UsualDamping = 0.01;

    private static readonly RecipeOption<bool> ActOrder = Declare.Flag(
        "act_order", "Round the columns of a weight by falling size of their input, those that matter most first", "true", "false");

    private static readonly RecipeOption<bool> StaticGroups = Declare.Flag(
        "static_groups", "Find the grids of all groups before any weight is moved; else that of each group when its turn comes", "true", "false");

    private static readonly RecipeOption<GridStart> Start = Declare.Choice(
        "start", "How grids are found: from the range of the weights, or by a search for the least error", GridNames.Starts, "minmax");

    private static readonly RecipeOption<double> Damping = DampingOption.Of("0.01");

    private static readonly RecipeOption<bool> TrueSequential = Declare.Flag(
        "true_sequential", "Fit layers to inputs behind the quantized earlier layers of their own block too, not of earlier blocks alone", "true");

    private static readonly RecipeOption<double> Gptaq = Declare.Number(
        "gptaq", "GPTAQ's alpha: how much of what quantization did to the inputs the weights make good, 0.25 in its code; looks at the full-precision model too", "GPTAQ's alpha", 0, 1, "0");

    /// <inheritdoc/>
    public override string Name => "gptq";

    /// <inheritdoc/>
    public override string Summary => "every weight takes up the rounding errors of those before it";

    /// <inheritdoc/>
    public override string Source => "Frantar et al., GPTQ, ICLR 2023; Li et al., GPTAQ, 2504.02692";

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [ActOrder, StaticGroups, Start, Damping, TrueSequential, Gptaq, CorrectionOptions.ExpertFloor];

    /// <inheritdoc/>
    public override bool TakesFloatGrids => true;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => true;

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset)
    {
        WindowDefaults usual = WindowDefaults.Of(preset);
        return preset == PresetNames.Paper ? usual : usual with { Samples = CorrectionOptions.FastSamples };
    }

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        OptionValues values = request.Values;
        bool groups = request.Grid is UniformGrid { Granularity: Granularity.Group } or AffineGrid && !request.AllTwoLevel;
        if (request.AllTwoLevel) request.Refuse("does not apply to two-level grids: their integers are always searched for, before any weight is moved; leave it out", Start, StaticGroups);
        else if (request.Grid is FloatGrid) request.Refuse("does not apply to grids of floats: their scales are found before any weight is moved; leave it out", StaticGroups);
        else if (!groups) request.Refuse("is about groups of weights, and a row has one scale here; give `group_size`, or leave it out", StaticGroups);
        bool moves = groups && values.Find(StaticGroups) == false;
        bool order = values.Or(ActOrder, !request.IsPaper && !moves);
        if (order && moves)
        {
            request.Problems.Add(
                "`static_groups` false does not go with `act_order` true: groups would be of columns that do not stand together, and a result does not store which column is of which group; leave one of them out.");
        }
        double damping = values.Or(Damping, UsualDamping);
        bool chooses = double.IsNaN(damping);
        if (chooses && request.HeldOut == 0) request.Problems.Add("`damping` auto needs held-out windows to judge by: give `held_out` 1 or more, or a number.");
        return new GptqSettings
        {
            How = new GptqOptions
            {
                ActOrder = order,
                StaticGroups = !groups || values.Or(StaticGroups, !request.IsPaper || order),
                Start = request.AllTwoLevel ? GridStart.Search : values.Or(Start, GridStart.MinMax),
                Asymmetry = values.Or(Gptaq, 0),
            },
            HasGroups = groups,
            AlwaysSearched = request.AllTwoLevel,
            Damping = chooses ? UsualDamping : damping,
            ChooseDamping = chooses,
            Sequential = values.Or(TrueSequential, true),
            ExpertFloor = values.Or(CorrectionOptions.ExpertFloor, CorrectionOptions.UsualExpertFloor),
        };
    }

    private sealed record GptqSettings : MethodSettings
    {
        public required GptqOptions How { get; init; }

        /// <summary>Whether rows have groups of weights on uniform grids, so that there is something to choose about them.</summary>
        public required bool HasGroups { get; init; }

        /// <summary>Whether all layers lie on two-level grids, which are always searched for.</summary>
        public required bool AlwaysSearched { get; init; }

        public required double Damping { get; init; }

        public required bool ChooseDamping { get; init; }

        public required bool Sequential { get; init; }

        public required int ExpertFloor { get; init; }

        private bool TakesStatisticsOnly { get; init; }

        public override string Method => "gptq";

        public override IReadOnlyList<KeyValuePair<string, string>> Values
        {
            get
            {
                var values = new List<KeyValuePair<string, string>> { GptqMethod.ActOrder.With(How.ActOrder) };
                if (HasGroups) values.Add(GptqMethod.StaticGroups.With(How.StaticGroups));
                if (!AlwaysSearched) values.Add(GptqMethod.Start.With(How.Start));
                values.Add(GptqMethod.Damping.With(ChooseDamping ? double.NaN : Damping));
                values.Add(GptqMethod.TrueSequential.With(Sequential));
                values.Add(GptqMethod.Gptaq.With(How.Asymmetry));
                values.Add(CorrectionOptions.ExpertFloor.With(ExpertFloor));
                return values;
            }
        }

        public override GridStart Start => How.Start;

        public override bool FitsLayers => true;

        // What the head gets in the full-precision model is not looked at.
        internal override HeadFit Head => new(new GptqSolver(How with { Asymmetry = 0 }), ChooseDamping ? null : Damping, OriginalInputs: false);

        public override IReadOnlyList<TimedPart> TimedParts
        {
            get
            {
                // A layer is solved once for every damping that is tried, whatever the number of windows; statistics of the first window are in the fit.
                GptqSettings alone = this with { ChooseDamping = false };
                return
                [
                    new TimedPart(_ => alone, windows => windows, 1, 1, (_, _) => 1) { Times = ChooseDamping ? CorrectionSettings.Dampings.Count : 1 },
                    new TimedPart(_ => alone with { TakesStatisticsOnly = true }, windows => windows, 1, 3, (samples, heldOut) => samples + (ChooseDamping ? heldOut : 0)) { Times = 0 },
                ];
            }
        }

        public override IBlockMethod Create() => new LayerwiseMethod(Method, new GptqSolver(How), new LayerwiseOptions
        {
            QuantizedInputs = true,
            Sequential = Sequential,
            GivesCross = How.Asymmetry > 0,
            ExpertFloor = ExpertFloor,
            Solves = !TakesStatisticsOnly,
            Dampings = ChooseDamping ? CorrectionSettings.Dampings : [Damping],
        });

        public override string Describe()
        {
            string columns = How.ActOrder ? "columns by falling inputs" : "columns as they stand", groups = HasGroups ? How.StaticGroups ? ", grids of groups first" : ", grids of groups in turn" : "";
            string gptaq = How.Asymmetry > 0 ? FormattableString.Invariant($", GPTAQ {How.Asymmetry}") : "";
            string damping = ChooseDamping ? "damping by held-out windows" : FormattableString.Invariant($"damping {Damping}");
            return $"error-compensated rounding: {columns}{groups}{gptaq}, {damping}, first {GridNames.Describe(How.Start)}";
        }
    }
}
