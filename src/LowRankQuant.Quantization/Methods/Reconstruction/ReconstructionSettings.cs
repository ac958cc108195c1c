using System.Globalization;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>Learned rounding by block reconstruction, resolved. Methods of the kind differ in what is learned of each weight.</summary>
internal abstract record ReconstructionSettings : MethodSettings
{
    private const int FewSteps = 1, MoreSteps = 4;

    /// <summary>Held-out measurements of a training that keeps its best iterate, the one before its first step included.</summary>
    private const int Checks = 5;

    /// <summary>How blocks are trained.</summary>
    public required TrainingSettings Steps { get; init; }

    /// <summary>How first grids are found.</summary>
    public required GridStart First { get; init; }

    /// <summary>Whether first grids are searched for whatever anybody says, as integers of two-level grids are.</summary>
    public bool AlwaysSearched { get; init; }

    /// <inheritdoc/>
    public override TrainingSettings Training => Steps;

    /// <inheritdoc/>
    public override GridStart Start => First;

    /// <inheritdoc/>
    public override IReadOnlyList<KeyValuePair<string, string>> Values => [.. Own, .. TrainingOptions.ValuesOf(Steps), .. TakesStart ? new[] { TrainingOptions.Start.With(First) } : [], .. Steps.FullPrecisionInputs ? new[] { LearnedRoundingMethod.QuantizedInputs.With(false) } : []];

    /// <inheritdoc/>
    public override IReadOnlyList<TimedPart> TimedParts => [Timed(this)];

    /// <summary>The method's own values.</summary>
    protected virtual IEnumerable<KeyValuePair<string, string>> Own => [];

    /// <summary>Whether first grids are a choice.</summary>
    protected virtual bool TakesStart => !AlwaysSearched;

    /// <summary>What is learned of a weight.</summary>
    internal abstract IRoundingForm Form { get; }

    /// <inheritdoc/>
    public override bool PlansModel => Steps.Loss == LossWeighting.Fisher;

    /// <inheritdoc/>
    public override int PlanTokens => OutputMetric.Tokens;

    /// <inheritdoc/>
    /// <remarks>Of the blocks only what comes out is looked at.</remarks>
    public override bool PlanOutlivesFolds => true;

    /// <inheritdoc/>
    public override ModelPlan Plan(ModelPlanContext context) => new(new Dictionary<string, LayerPlan>()) { OutputMetrics = OutputMetric.Measure(context) };

    /// <inheritdoc/>
    public override IBlockMethod Create() => new ReconstructionMethod(Method, Steps, Form);

    /// <inheritdoc/>
    public override long LearnedParameters(int outFeatures, int inFeatures, WeightGrid grid) => Form.ParameterCount(outFeatures, inFeatures, grid, null);

    /// <inheritdoc/>
    public override string DescribeLearning() => Describe(Steps);

    /// <summary>A training in words.</summary>
    public static string Describe(TrainingSettings training) => string.Create(CultureInfo.InvariantCulture,
        $"{training.Iterations} steps of {training.Batch} windows per block, learning rate {training.LearningRate}, {Choices.Of(TrainingOptions.Losses, training.Loss)} loss{(training.KeepBest ? ", the step that is best on held-out windows kept" : "")}");

    /// <summary>
    /// The steps of a training; at a rate of almost nothing the loss cannot rise, and no training starts again. What the model feels has not been measured then: its product of the
    /// hidden size is little beside those of a block, and the relative loss stands for it.
    /// </summary>
    public static TimedPart Timed(ReconstructionSettings settings)
    {
        LossWeighting loss = settings.Steps.Loss == LossWeighting.Fisher ? LossWeighting.Relative : settings.Steps.Loss;
        return new TimedPart(
            steps => settings with { Steps = settings.Steps with { Iterations = steps, KeepBest = false, LearningRate = 1e-12, Loss = loss } },
            _ => settings.Steps.Batch, FewSteps, MoreSteps, (_, _) => settings.Steps.Iterations)
        {
            WarmUp = true,
            Passes = Measured,
            Restarts = settings.Steps.Restarts,
            RestartPasses = Measured,
        };

        double Measured(int samples, int heldOut) => (double)heldOut * (settings.Steps.KeepBest ? Checks : 1);
    }
}

/// <summary>Rounding whose scales are learned within it, resolved: LRQ, FlexRound and their mixture differ in the form of D that each weight gets.</summary>
internal abstract record ScaledSettings : ReconstructionSettings
{
    /// <inheritdoc/>
    internal override IRoundingForm Form => new ScaledRounding((outFeatures, inFeatures) => new RoundingParts(ShapeOf(outFeatures, inFeatures)));

    /// <summary>The form of D of a weight.</summary>
    public abstract ScaleShape ShapeOf(int outFeatures, int inFeatures);
}
