using System.Globalization;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Lrq;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>Low-rank correction, resolved: FLRQ, flrq+ and their peers, which differ in the solver of a layer.</summary>
internal abstract record CorrectionSettings : MethodSettings
{
    /// <summary>What <c>damping</c> auto tries: from hardly any to as much as the mean diagonal.</summary>
    public static IReadOnlyList<double> Dampings { get; } = [0.03, 0.1, 0.3, 1];

    /// <summary>How ranks are decided where no budget decides.</summary>
    public RankRule RankRule { get; init; }

    /// <summary>The rank of the fixed rule; with a budget, the largest that a layer may get.</summary>
    public int Rank { get; init; }

    /// <summary>x: largest size of a branch, relative to its codes.</summary>
    public double ExtraSize { get; init; }

    /// <summary>Whether layers are fitted to the inputs of the model quantized so far.</summary>
    public bool QuantizedInputs { get; init; }

    /// <summary>Strength of the shift of targets that undoes earlier layers' errors; 0 for none.</summary>
    public double Propagation { get; init; }

    /// <summary>An expert that fewer calibration tokens reach is fitted to the inputs of all experts of its layer together.</summary>
    public int ExpertFloor { get; init; }

    /// <summary>Part of the mean diagonal of the input covariance that is added to its diagonal.</summary>
    public double Damping { get; init; }

    /// <summary>Whether every layer's damping is chosen on the held-out windows; <see cref="Damping"/> then serves the plan for the whole model alone.</summary>
    public bool ChooseDamping { get; init; }

    /// <summary>LRQ's training of the codes beside the branches; null where the solver has the last word.</summary>
    public LrqSettings? Residual { get; init; }

    /// <summary>Whether that training trains the branches' factors too.</summary>
    public bool TrainBranch { get; init; }

    /// <summary>Whether layers are not solved, to time the rest.</summary>
    private bool TakesStatisticsOnly { get; init; }

    /// <summary>The declared options.</summary>
    protected abstract CorrectionOptions Options { get; }

    /// <summary>The method's own values.</summary>
    protected abstract IEnumerable<KeyValuePair<string, string>> Own { get; }

    /// <inheritdoc/>
    public override bool FitsLayers => true;

    /// <inheritdoc/>
    public override TrainingSettings? Training => Residual?.Steps;

    /// <inheritdoc/>
    public override GridStart Start => Residual?.First ?? GridStart.MinMax;

    /// <inheritdoc/>
    public override bool MayHaveBranches => Budget is not null || RankRule == RankRule.Fixed ? Rank > 0 : ExtraSize > 0;

    /// <inheritdoc/>
    internal override HeadFit Head => new(Solver(withBranch: false), ChooseDamping ? null : Damping, !QuantizedInputs);

    /// <inheritdoc/>
    public override IReadOnlyList<KeyValuePair<string, string>> Values => [.. Options.ValuesOf(this), .. Own];

    /// <inheritdoc/>
    public override IReadOnlyList<TimedPart> TimedParts
    {
        get
        {
            // A layer is solved once for every damping that is tried, whatever the number of windows.
            CorrectionSettings alone = this with { ChooseDamping = false, Residual = null, TrainBranch = false };
            var fit = new TimedPart(_ => alone, windows => windows, 1, 1, (_, _) => 1) { Times = ChooseDamping ? Dampings.Count : 1 };
            // Statistics are taken once, of held-out windows too where those choose a damping; those of the first window are in the fit.
            var statistics = new TimedPart(_ => alone with { TakesStatisticsOnly = true }, windows => windows, 1, 3, (samples, heldOut) => samples + (ChooseDamping ? heldOut : 0)) { Times = 0 };
            if (Residual is null) return [fit, statistics];
            // A residual that LRQ learns is fitted first, trained then and reported on at last; beside LRQ by itself the product of the branches is little.
            TimedPart training = ReconstructionSettings.Timed(Residual);
            return [fit, statistics, training with { Passes = (samples, heldOut) => samples + training.Passes(samples, heldOut) }];
        }
    }

    /// <summary>The solver of a layer.</summary>
    /// <param name="withBranch">Whether it finds a branch; without one, of the output head, there is nothing to take turns with.</param>
    protected abstract ILayerSolver Solver(bool withBranch);

    /// <summary>The rank of a layer where neither a plan nor the method's own rule decides.</summary>
    protected int RankFor(LayerProblem problem) => RankFor(problem.OutFeatures, problem.InFeatures, problem.Grid.Bits);

    /// <summary>The rank of a layer where neither a plan nor the method's own rule decides.</summary>
    protected int RankFor(int outFeatures, int inFeatures, int bits) =>
        RankRule == RankRule.Cap ? new RankCost(outFeatures, inFeatures, bits, FactorBits).Cap(ExtraSize) : Rank;

    /// <inheritdoc/>
    public override IBlockMethod Create()
    {
        var layerwise = new LayerwiseMethod(Method, Solver(withBranch: true), new LayerwiseOptions
        {
            QuantizedInputs = QuantizedInputs,
            Propagation = Propagation,
            ExpertFloor = ExpertFloor,
            Solves = !TakesStatisticsOnly,
            Dampings = ChooseDamping ? Dampings : [Damping],
        });
        return Residual is null ? layerwise : new ResidualMethod(layerwise, new BlockReconstruction(Residual.Steps, Residual.ShapeOf, TrainBranch));
    }

    /// <inheritdoc/>
    public override long LearnedParameters(int outFeatures, int inFeatures, WeightGrid grid) => Residual?.LearnedParameters(outFeatures, inFeatures, grid) ?? 0;

    /// <inheritdoc/>
    public override long BranchElements(int outFeatures, int inFeatures, int bits)
    {
        // A budget may spend all that codes leave on a branch; without one it is at most about as large as was asked for.
        if (Budget is null && RankRule == RankRule.Fixed) return (long)Rank * (outFeatures + inFeatures);
        double share = Budget is { } budget ? Math.Max(0, budget.TargetBits - bits) : ExtraSize * bits;
        return (long)((double)outFeatures * inFeatures * share / FactorBits);
    }

    /// <inheritdoc/>
    public override string Describe()
    {
        string rank = Budget is { } budget ? string.Create(CultureInfo.InvariantCulture, $"{budget.TargetBits} bits per weight, {(budget.ChoosesGrids ? "mixed" : "fixed")} widths")
            : RankRule == RankRule.Fixed ? $"rank {Rank}"
            : string.Create(CultureInfo.InvariantCulture, $"rank by {Choices.Of(CorrectionOptions.RankRules, RankRule)}, extra size {ExtraSize}");
        return $"low-rank branches beside the rounded weights: {rank}, {FactorBits}-bit factors{(ChooseDamping ? ", damping by held-out windows" : "")}";
    }

    /// <inheritdoc/>
    public override string DescribeLearning() => Residual is null ? ""
        : $"codes{(TrainBranch ? " and branches" : "")} learned by lrq of rank {Residual.Rank}; {ReconstructionSettings.Describe(Residual.Steps)}";

}
