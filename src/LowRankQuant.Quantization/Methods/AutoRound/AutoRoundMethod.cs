using System.Globalization;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.AutoRound;

/// <summary>AutoRound: offsets in front of rounding and the ends of groups, learned block by block by the signs of gradients.</summary>
public sealed class AutoRoundMethod : LearnedRoundingMethod
{
    private const int UsualIterations = 200, FastBatch = 2, PaperBatch = 8;

    // From so many steps on, at so few bits, the library's rate is twice as large.
    private const int ManyIterations = 1000, FewBits = 3;

    private static readonly RecipeOption<int> Iterations = Declare.Whole("iterations", "Steps per block", "steps per block", 0, int.MaxValue, "200");

    private static readonly RecipeOption<double> LearningRate = Declare.Number(
        "learning_rate", "First learning rate, in steps of the grid; a line takes it to 0", "first learning rate, such as 0.005", double.Epsilon, double.PositiveInfinity, "1 / iterations",
        "1 / iterations, twice that from 1,000 on below 4 bits");

    private static readonly RecipeOption<int> Batch = Declare.Whole("batch", "Windows per step", "windows per step", 1, int.MaxValue, "2", "8");

    private static readonly RecipeOption<LossWeighting> Loss = Declare.Choice(
        "loss", "plain (the paper's), relative: every token's error over its own magnitude, or fisher: relative, by what the model's distribution feels", TrainingOptions.Losses, "plain");

    private static readonly RecipeOption<bool> KeepBest = Declare.Flag(
        "keep_best", "Keep the iterate that is best on held-out windows; false: the one whose own windows had the least loss", "true", "false");

    /// <inheritdoc/>
    public override string Name => "autoround";

    /// <inheritdoc/>
    public override string Summary => "offsets in front of rounding and ranges of groups, learned block by block by signs of gradients";

    /// <inheritdoc/>
    public override string Source => "Cheng et al., AutoRound, 2309.05516";

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [Iterations, LearningRate, Batch, Loss, KeepBest, TrainingOptions.Inside, QuantizedInputs];

    /// <inheritdoc/>
    public override bool TakesFloatGrids => false;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => false;

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset)
    {
        WindowDefaults usual = TrainingOptions.Windows(values, preset);
        return usual with { Samples = 128, SequenceLength = preset == PresetNames.Paper ? 2048 : usual.SequenceLength };
    }

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        OptionValues values = request.Values;
        if (request.AnyTwoLevel) request.Problems.Add("`method` autoround learns the ranges of groups, which two-level grids do not have; take a uniform grid, or a method that keeps grids (flexround, gptq).");
        int iterations = values.Or(Iterations, UsualIterations);
        double usual = (request.IsPaper && iterations >= ManyIterations && request.Grid.Bits <= FewBits ? 2.0 : 1.0) / Math.Max(1, iterations);
        TrainingSettings steps = Training(request, usual);
        return new AutoRoundSettings
        {
            First = GridStart.MinMax,
            Steps = steps with
            {
                Iterations = iterations,
                Batch = values.Or(Batch, Math.Min(request.IsPaper ? PaperBatch : FastBatch, Math.Max(1, request.Samples))),
                Loss = values.Or(Loss, LossWeighting.Plain),
                SpikeLimit = double.PositiveInfinity,
                SignDescent = true,
                KeepBestStep = !steps.KeepBest,
                LearnSteps = false,
                StepRate = 0,
            },
        };
    }

    private sealed record AutoRoundSettings : ReconstructionSettings
    {
        public override string Method => "autoround";

        // Steps of activations are not learned along.
        public override IReadOnlyList<KeyValuePair<string, string>> Values => [.. base.Values.Where(value => value.Key != TrainingOptions.LearnSteps.Key)];

        protected override bool TakesStart => false;

        internal override IRoundingForm Form => new OffsetRounding();

        public override string Describe() => string.Create(CultureInfo.InvariantCulture, $"offsets and ranges of groups learned by {Steps.Iterations} steps against signs of gradients");
    }
}
