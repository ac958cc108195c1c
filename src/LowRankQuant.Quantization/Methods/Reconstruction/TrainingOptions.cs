using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>The options of every method that trains blocks by gradients, with the settings of LRQ's released scripts under the preset paper.</summary>
public static class TrainingOptions
{
    private const int FastIterations = 150, PaperIterations = 5000;
    private const int UsualBatch = 2;
    private const int PaperRestarts = 0;
    private const double UsualStepRate = 1e-3;

    // Held-out windows where somebody keeps the best iterate on top of a preset that has none.
    private const int KeepBestHeldOut = 8;

    // Batches differ by less than this among themselves.
    private const double RelativeSpikeLimit = 2;

    /// <summary>Weightings of tokens in the loss.</summary>
    public static IReadOnlyList<KeyValuePair<string, LossWeighting>> Losses { get; } = [new("plain", LossWeighting.Plain), new("relative", LossWeighting.Relative), new("fisher", LossWeighting.Fisher)];

    /// <summary>Adam steps.</summary>
    public static RecipeOption<int> Iterations { get; } = Declare.Whole("iterations", "Steps per block", "Adam steps per block", 0, int.MaxValue, "150", "5000");

    /// <summary>First learning rate.</summary>
    public static RecipeOption<double> LearningRate { get; } = Declare.Number(
        "learning_rate", "First learning rate; a cosine takes it to 0", "first learning rate, such as 0.002", double.Epsilon, double.PositiveInfinity, "by method and bits, 0.0005 to 0.02",
        "of the released scripts, by size and bits");

    /// <summary>Windows per step.</summary>
    public static RecipeOption<int> Batch { get; } = Declare.Whole("batch", "Windows per step", "windows per step", 1, int.MaxValue, "2");

    /// <summary>Weighting of tokens.</summary>
    public static RecipeOption<LossWeighting> Loss { get; } = Declare.Choice(
        "loss", "plain (the paper's), relative: every token's error over its own magnitude, or fisher: relative, by what the model's distribution feels", Losses, "relative", "plain");

    /// <summary>Whether the best iterate is kept.</summary>
    public static RecipeOption<bool> KeepBest { get; } = Declare.Flag("keep_best", "Keep the iterate that is best on held-out windows", "true", "false");

    /// <summary>How first grids are found.</summary>
    public static RecipeOption<GridStart> Start { get; } = Declare.Choice("start", "First grid", GridNames.Starts, "search", "of the released scripts, by size and bits");

    /// <summary>Whether quantizers of activations are in the block while it is trained.</summary>
    public static RecipeOption<bool> Inside { get; } = Declare.Flag(
        "inside", "With quantized activations: train with their quantizers in the block", "true where activations are static", "false, as the released code");

    /// <summary>Whether static steps are learned.</summary>
    public static RecipeOption<bool> LearnSteps { get; } = Declare.Flag("learn_steps", "With static activations `inside`: learn their steps along", "true", "false");

    /// <summary>Learning rate of static steps.</summary>
    public static RecipeOption<double> StepRate { get; } = Declare.Number(
        "step_rate", "With `learn_steps`: first learning rate of the steps, as logarithms", "first learning rate of steps", double.Epsilon, double.PositiveInfinity, "0.001");

    /// <summary>Those that say how blocks are trained.</summary>
    public static IReadOnlyList<RecipeOption> All { get; } = [Iterations, LearningRate, Batch, Loss, KeepBest, Inside, LearnSteps, StepRate];

    /// <summary>Calibration windows of a method that trains.</summary>
    public static WindowDefaults Windows(OptionValues values, string preset)
    {
        var usual = WindowDefaults.Of(preset);
        return values.Find(KeepBest) == true && usual.HeldOut == 0 ? usual with { HeldOut = KeepBestHeldOut } : usual;
    }

    /// <summary>Fills in what was not asked for.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="rate">First learning rate where nobody says.</param>
    public static TrainingSettings Resolve(MethodRequest request, double rate)
    {
        OptionValues values = request.Values;
        LossWeighting loss = values.Or(Loss, request.IsPaper ? LossWeighting.Plain : LossWeighting.Relative);
        var settings = new TrainingSettings
        {
            Iterations = values.Or(Iterations, request.IsPaper ? PaperIterations : FastIterations),
            LearningRate = values.Or(LearningRate, rate),
            Batch = values.Or(Batch, Math.Min(UsualBatch, Math.Max(1, request.Samples))),
            Loss = loss,
            KeepBest = values.Or(KeepBest, !request.IsPaper),
            SpikeLimit = loss != LossWeighting.Plain ? RelativeSpikeLimit : double.PositiveInfinity,
        };
        if (request.IsPaper) settings = settings with { Restarts = PaperRestarts };
        settings = WithActivations(request, settings);
        if (request.Samples >= 1 && settings.Batch > request.Samples)
            request.Problems.Add($"`batch` {settings.Batch}: at most the number of samples, {request.Samples}; use a smaller batch or more `samples`.");
        if (settings.KeepBest && request.HeldOut == 0) request.Problems.Add("`keep_best` needs held-out windows to judge by: give `held_out` 1 or more, or `keep_best` false.");
        return settings;
    }

    /// <summary>The values of settings, by key.</summary>
    public static IEnumerable<KeyValuePair<string, string>> ValuesOf(TrainingSettings settings)
    {
        yield return Iterations.With(settings.Iterations);
        yield return LearningRate.With(settings.LearningRate);
        yield return Batch.With(settings.Batch);
        yield return Loss.With(settings.Loss);
        yield return KeepBest.With(settings.KeepBest);
        if (settings.Quantizes == QuantizedInputs.None) yield break;
        yield return Inside.With(settings.Inside);
        if (settings.Quantizes != QuantizedInputs.Static || !settings.Inside) yield break;
        yield return LearnSteps.With(settings.LearnSteps);
        if (settings.LearnSteps) yield return StepRate.With(settings.StepRate);
    }

    private static TrainingSettings WithActivations(MethodRequest request, TrainingSettings settings)
    {
        OptionValues values = request.Values;
        if (request.Quantizes == QuantizedInputs.None) request.Refuse("needs `activations` or `cache`: it says how their quantizers take part in training", Inside, LearnSteps, StepRate);
        bool isStatic = request.Quantizes == QuantizedInputs.Static, inside = request.Quantizes != QuantizedInputs.None && values.Or(Inside, isStatic && !request.IsPaper);
        if (!isStatic && request.Quantizes != QuantizedInputs.None) request.Refuse("needs static activations: steps per token come from their own values", LearnSteps, StepRate);
        else if (!inside && request.Quantizes != QuantizedInputs.None) request.Refuse("needs `inside` true: steps are learned where they are used", LearnSteps, StepRate);
        bool learn = isStatic && inside && values.Or(LearnSteps, !request.IsPaper);
        if (isStatic && inside && !learn) request.Refuse("needs `learn_steps` true", StepRate);
        return settings with { Quantizes = request.Quantizes, Inside = inside, LearnSteps = learn, StepRate = learn ? values.Or(StepRate, UsualStepRate) : 0 };
    }
}
