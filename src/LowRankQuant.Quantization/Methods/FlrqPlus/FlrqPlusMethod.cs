using System.Globalization;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Budget;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>What goes beyond FLRQ: full covariance, compensated rounding, 8-bit factors, a budget for the whole model.</summary>
public sealed class FlrqPlusMethod : QuantizationMethod
{
    // A plan rarely gives a layer more; beyond it the plan only takes longer.
    private const int PlanRank = 64;
    private const double UsualDamping = 0.3;

    // Where it tunes the whole model by itself: at 2 bits that takes a tenth and more off the divergence, at 3 and 4 a few per cent for as much time.
    private const int TunedBits = 2;
    private const int UsualTuneSteps = 64;

    // Chosen on TinyStories-656k (docs/results/flrq.md): one half undoes too little, all of it over-fits.
    private static readonly CorrectionOptions Shared = new(new CorrectionDefaults { Rule = RankRule.Cap, QuantizedInputs = true, Propagation = 0.7 });

    private static readonly RecipeOption<double> TargetBits = Declare.Number(
        "target_bits", "Stored bits per weight of all linears together, spent on ranks and widths where the model feels it most", "stored bits per weight", 0, double.PositiveInfinity, "none");

    private static readonly RecipeOption<BudgetWidths> Widths = Declare.Choice<BudgetWidths>(
        "widths", "Whether `target_bits` may change code widths (2 to 8 bits a layer) or keeps `bits`", [new("mixed", BudgetWidths.Mixed), new("fixed", BudgetWidths.Fixed)], "mixed");

    private static readonly RecipeOption<int> Epochs = Declare.Whole("epochs", "Rounds of refinement", "rounds of refinement", 0, 1000, "3");

    private static readonly RecipeOption<int> FactorBits = Declare.Whole("factor_bits", "Bits of an element of a branch: 8 or 16", "8 or 16", 8, 16, "8");

    private static readonly RecipeOption<double> Damping = DampingOption.Of("0.3");

    private static readonly RecipeOption<bool> Compensate = Declare.Flag("compensate", "Round with error compensation in GPTQ order", "true");

    private static readonly RecipeOption<bool> WeighOutputs = Declare.Flag("weigh_outputs", "Fit branches where the model feels outputs most", "true");

    /// <inheritdoc/>
    public override string Name => "flrq+";

    /// <inheritdoc/>
    public override string Summary => "flrq with full covariances, compensated codes, 8-bit branches and a budget for the whole model";

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [TargetBits, Widths, .. Shared.All, Epochs, FactorBits, Damping, Compensate, WeighOutputs];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.Calibration | MethodNeeds.FullPrecisionInputs | MethodNeeds.Sensitivity;

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => true;

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset) => CorrectionOptions.Windows(values, preset);

    /// <inheritdoc/>
    public override BitBudget? Budget(OptionValues values) =>
        values.Find(TargetBits) is { } target ? new BitBudget(target, values.Or(Widths, BudgetWidths.Mixed) == BudgetWidths.Mixed) : null;

    /// <inheritdoc/>
    public override int TuneSteps(int bits) => bits <= TunedBits ? UsualTuneSteps : 0;

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        OptionValues values = request.Values;
        BitBudget? budget = Budget(values);
        int factorBits = values.Or(FactorBits, 8);
        if (factorBits is not (8 or 16)) request.Problems.Add($"`factor_bits` {factorBits}: must be 8 or 16.");
        if (budget is null) request.Refuse("needs `target_bits`: it says what the budget may change", Widths);
        else CheckBudget(request, budget.Value);
        double damping = values.Or(Damping, UsualDamping);
        PlusSettings settings = Shared.Resolve(
            request,
            new PlusSettings
            {
                Bits = request.Grid.Bits,
                Whole = budget,
                Epochs = values.Or(Epochs, 3),
                ElementBits = factorBits,
                Damping = double.IsNaN(damping) ? UsualDamping : damping,
                ChooseDamping = double.IsNaN(damping),
                Compensate = values.Or(Compensate, true),
                WeighOutputs = values.Or(WeighOutputs, true),
            },
            PlanRank);
        if (!settings.MayHaveBranches) CorrectionOptions.RefuseWithoutBranches(request, FactorBits, WeighOutputs);
        return settings;
    }

    private static void CheckBudget(MethodRequest request, BitBudget budget)
    {
        WeightGrid grid = request.Grid;
        if (request.Linears.Any(linear => !grid.Divides(linear.InFeatures))) return;
        double bits = 0, weights = 0;
        foreach (LinearShape linear in request.Linears)
        {
            bits += BudgetGrids.For(grid, budget.ChoosesGrids, request.Target, linear.InFeatures).Min(choice => choice.StoredBits(linear.OutFeatures, linear.InFeatures, request.ScaleType));
            weights += linear.Weights;
        }
        if (budget.TargetBits >= bits / weights) return;
        request.Problems.Add(request.EngineBlocks
            ? Text($"`target_bits` {budget.TargetBits}: the smallest blocks of llama.cpp that the layers fit take {bits / weights:F4} bits a weight already; ask for more.")
            : Text($"`target_bits` {budget.TargetBits}: codes of {(budget.ChoosesGrids ? UniformGrid.MinBits : grid.Bits)} bits with their scales take {bits / weights:F4} bits a weight already; ask for more, or for larger groups."));
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record PlusSettings : CorrectionSettings
    {
        /// <summary>Code width of layers whose grid no budget chooses.</summary>
        public required int Bits { get; init; }

        public required BitBudget? Whole { get; init; }

        public required int Epochs { get; init; }

        public required int ElementBits { get; init; }

        public required bool Compensate { get; init; }

        public required bool WeighOutputs { get; init; }

        public override string Method => "flrq+";

        public override BitBudget? Budget => Whole;

        public override int FactorBits => ElementBits;

        protected override CorrectionOptions Options => Shared;

        protected override IEnumerable<KeyValuePair<string, string>> Own
        {
            get
            {
                if (Whole is { } budget)
                {
                    yield return TargetBits.With(budget.TargetBits);
                    yield return Widths.With(budget.ChoosesGrids ? BudgetWidths.Mixed : BudgetWidths.Fixed);
                }
                yield return FlrqPlusMethod.Epochs.With(Epochs);
                yield return FlrqPlusMethod.Damping.With(ChooseDamping ? double.NaN : Damping);
                yield return FlrqPlusMethod.Compensate.With(Compensate);
                if (!MayHaveBranches) yield break;
                yield return FlrqPlusMethod.FactorBits.With(ElementBits);
                yield return FlrqPlusMethod.WeighOutputs.With(WeighOutputs);
            }
        }

        // Measuring how much the model feels each output takes forward and backward passes over the whole model.
        public override bool PlansModel => Whole is not null || ChooseDamping || (WeighOutputs && (RankRule == RankRule.Fixed ? Rank > 0 : ExtraSize > 0));

        public override string? WholeBlock => base.WholeBlock ?? (PlansModel ? "measures what the model feels, which takes gradients through whole blocks" : null);

        protected override ILayerSolver Solver(bool withBranch) => new PlusSolver(
            new PlusOptions { Rounds = Epochs, FactorBits = ElementBits, Compensate = Compensate, WeighOutputs = WeighOutputs }, withBranch ? RankFor : _ => 0);

        public override ModelPlan Plan(ModelPlanContext context)
        {
            var planner = new ModelPlanner(context, Damping);
            return Whole is { } budget
                ? planner.Spend(budget.TargetBits, new GridChoices(context, budget.ChoosesGrids, Rank, ElementBits))
                : planner.Uniform(shape => RankFor(shape.OutFeatures, shape.InFeatures, Bits));
        }
    }
}
