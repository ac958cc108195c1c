using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Lrq;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>Who has the last word on the codes of what a low-rank branch leaves.</summary>
public enum ResidualRounding
{
    /// <summary>The method's own solver, layer by layer.</summary>
    Fitted,

    /// <summary>LRQ: the rounding is learned by block reconstruction, starting at the solver's codes.</summary>
    Lrq,
}

/// <summary>What a method of low-rank correction is where nobody says.</summary>
internal sealed record CorrectionDefaults
{
    /// <summary>How ranks are decided.</summary>
    public required RankRule Rule { get; init; }

    /// <summary>The rules that the method knows.</summary>
    public IReadOnlyList<KeyValuePair<string, RankRule>> Rules { get; init; } = [new("fixed", RankRule.Fixed), new("cap", RankRule.Cap)];

    /// <summary>Whether layers see the inputs of the quantized model.</summary>
    public bool QuantizedInputs { get; init; }

    /// <summary>Strength of error propagation.</summary>
    public double Propagation { get; init; }
}

/// <summary>The options that all methods of low-rank correction share.</summary>
internal sealed class CorrectionOptions
{
    private const int PeerRank = 32;

    /// <summary>Calibration windows of methods that look at second moments alone: eight tokens an input suffice.</summary>
    public const int FastSamples = 64;

    private const double UsualExtraSize = 0.2;
    private const double LargestExtraSize = 16;

    /// <summary>Fewest calibration tokens of an expert that is fitted to its own inputs.</summary>
    public const int UsualExpertFloor = 64;

    private readonly CorrectionDefaults _defaults;

    /// <summary>Declares them.</summary>
    public CorrectionOptions(CorrectionDefaults defaults)
    {
        _defaults = defaults;
        RankRule = Declare.Choice("rank_rule", "How ranks are decided", defaults.Rules, Choices.Of(RankRules, defaults.Rule));
        QuantizedInputs = Declare.Flag("quantized_inputs", "Fit layers to the inputs of the model quantized so far", defaults.QuantizedInputs ? "true" : "false");
        Propagation = Declare.Number(
            "propagation", "Part of earlier layers' errors that a layer undoes", "part of earlier layers' errors that is undone", 0, 1, $"{defaults.Propagation:0.##}");
    }

    /// <summary>All rules.</summary>
    public static IReadOnlyList<KeyValuePair<string, RankRule>> RankRules { get; } =
    [
        new("r1-flr", Layers.RankRule.R1Flr), new("predicted-noise", Layers.RankRule.PredictedNoise), new("fixed", Layers.RankRule.Fixed), new("cap", Layers.RankRule.Cap),
    ];

    /// <summary>Who has the last word on the codes beside a branch.</summary>
    public static IReadOnlyList<KeyValuePair<string, ResidualRounding>> Residuals { get; } = [new("fitted", ResidualRounding.Fitted), new("lrq", ResidualRounding.Lrq)];

    /// <summary>Rank of every branch.</summary>
    public static RecipeOption<int> Rank { get; } = Declare.Whole(
        "rank", "Rank of every branch; with a budget the largest", "rank of the branch", 0, int.MaxValue, "32 where the rule is fixed", null, ("full", LrqMethod.FullRank));

    /// <summary>x.</summary>
    public static RecipeOption<double> ExtraSize { get; } = Declare.Number(
        "extra_size", "Largest size of a branch relative to its codes, where the rule is not fixed", "size of the branch relative to the codes", 0, LargestExtraSize, "0.2");

    /// <summary>Fewest tokens of an expert.</summary>
    public static RecipeOption<int> ExpertFloor { get; } = Declare.Whole(
        "expert_floor", "Experts that fewer calibration tokens reach are fitted to the inputs of all experts of their layer", "calibration tokens", 0, 1 << 20, "64");

    /// <summary>Who has the last word on codes.</summary>
    public static RecipeOption<ResidualRounding> Residual { get; } = Declare.Choice(
        "residual", "Who has the last word on codes: the method itself, or LRQ, which learns them block by block beside the branches", Residuals, "fitted");

    /// <summary>Rank of LRQ's matrices where it has.</summary>
    public static RecipeOption<int> ResidualRank { get; } = LrqMethod.RankOption("residual_rank", "With `residual` lrq: rank of LRQ's scaling matrices");

    /// <summary>Whether branches are trained along.</summary>
    public static RecipeOption<bool> TrainBranch { get; } = Declare.Flag("train_branch", "With `residual` lrq: train the branches' factors along", "false");

    /// <summary>How ranks are decided.</summary>
    public RecipeOption<RankRule> RankRule { get; }

    /// <summary>Whether layers see the inputs of the quantized model.</summary>
    public RecipeOption<bool> QuantizedInputs { get; }

    /// <summary>Strength of error propagation.</summary>
    public RecipeOption<double> Propagation { get; }

    /// <summary>All shared options, those of LRQ's training last.</summary>
    public IReadOnlyList<RecipeOption> All => [RankRule, Rank, ExtraSize, QuantizedInputs, Propagation, ExpertFloor, Residual, ResidualRank, TrainBranch, .. TrainingOptions.All];

    /// <summary>Whether LRQ is asked to learn the codes.</summary>
    public static bool LearnsResidual(OptionValues values) => values.Find(Residual) == ResidualRounding.Lrq;

    /// <summary>Calibration windows where nobody says how many.</summary>
    public static WindowDefaults Windows(OptionValues values, string preset)
    {
        WindowDefaults usual = TrainingOptions.Windows(values, preset);
        return LearnsResidual(values) || preset == PresetNames.Paper ? usual : usual with { Samples = FastSamples };
    }

    /// <summary>The rule for ranks.</summary>
    public RankRule RuleOf(OptionValues values) => values.Find(RankRule) ?? (values.Has(Rank) ? Layers.RankRule.Fixed : _defaults.Rule);

    /// <summary>Fills in the shared part of settings.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="settings">The method's own part, with its factor bits and budget.</param>
    /// <param name="largestPlanned">Largest rank of a budget that nobody bounds.</param>
    public T Resolve<T>(MethodRequest request, T settings, int largestPlanned = 0)
        where T : CorrectionSettings
    {
        OptionValues values = request.Values;
        bool learns = LearnsResidual(values);
        if (!learns)
        {
            request.Refuse("needs `residual` lrq: it says how that learns", [ResidualRank, TrainBranch]);
            request.Refuse($"does not apply to method {settings.Method}: it fits every layer directly and trains nothing; leave it out, or let `residual` lrq train", [.. TrainingOptions.All]);
        }
        RankRule rule = RuleOf(values);
        double extra = values.Or(ExtraSize, UsualExtraSize);
        if (settings.Budget is not null) CheckBudget(request);
        else if (rule == Layers.RankRule.Fixed) request.Refuse($"does not apply to rank_rule {Choices.Of(RankRules, rule)}, which gives every branch one rank", ExtraSize);
        else if (rule == Layers.RankRule.Cap && extra > 0 && request.Linears.All(linear => new RankCost(linear.OutFeatures, linear.InFeatures, request.Grid.Bits, settings.FactorBits).Cap(extra) == 0))
            request.Notes.Add(FormattableString.Invariant($"`extra_size` {extra} does not pay for rank 1 in any layer; no layer gets a branch."));
        if (values.Find(TrainBranch) == true && values.Find(Rank) == 0) request.Problems.Add("`train_branch` true: `rank` 0 leaves no branch to train.");
        if (settings.ChooseDamping && request.HeldOut == 0) request.Problems.Add("`damping` auto needs held-out windows to judge by: give `held_out` 1 or more, or a number.");
        bool quantizedInputs = values.Or(QuantizedInputs, _defaults.QuantizedInputs);
        if (!quantizedInputs && values.Find(Propagation) > 0) request.Problems.Add("`propagation` needs `quantized_inputs` true: it undoes what quantization did to the inputs.");
        var resolved = (T)(CorrectionSettings)(settings with
        {
            RankRule = rule,
            Rank = ResolveRank(request, rule, settings.Budget is not null, largestPlanned),
            ExtraSize = extra,
            QuantizedInputs = quantizedInputs,
            Propagation = quantizedInputs ? values.Or(Propagation, _defaults.Propagation) : 0,
            ExpertFloor = values.Or(ExpertFloor, UsualExpertFloor),
            Residual = learns ? ResolveResidual(request) : null,
            TrainBranch = learns && values.Or(TrainBranch, false),
        });
        if (!resolved.MayHaveBranches && !(values.Find(TrainBranch) == true && values.Find(Rank) == 0)) RefuseWithoutBranches(request, TrainBranch);
        return resolved;
    }

    /// <summary>The shared values of settings.</summary>
    public IEnumerable<KeyValuePair<string, string>> ValuesOf(CorrectionSettings settings)
    {
        if (settings.Budget is null) yield return RankRule.With(settings.RankRule);
        if (settings.Budget is not null || settings.RankRule == Layers.RankRule.Fixed) yield return Rank.With(settings.Rank);
        else yield return ExtraSize.With(settings.ExtraSize);
        yield return QuantizedInputs.With(settings.QuantizedInputs);
        if (settings.QuantizedInputs) yield return Propagation.With(settings.Propagation);
        yield return ExpertFloor.With(settings.ExpertFloor);
        yield return Residual.With(settings.Residual is null ? ResidualRounding.Fitted : ResidualRounding.Lrq);
        if (settings.Residual is not { } residual) yield break;
        yield return ResidualRank.With(residual.Rank);
        if (settings.MayHaveBranches) yield return TrainBranch.With(settings.TrainBranch);
        foreach (KeyValuePair<string, string> value in TrainingOptions.ValuesOf(residual.Steps)) yield return value;
    }

    /// <summary>What is said of branches says nothing where there are none.</summary>
    public static void RefuseWithoutBranches(MethodRequest request, params ReadOnlySpan<RecipeOption> options) =>
        request.Refuse("is about low-rank branches, and no layer gets one (rank 0, extra size 0, or llama.cpp's blocks alone); leave it out", options);

    private void CheckBudget(MethodRequest request)
    {
        request.Refuse("and `target_bits` exclude each other: a budget decides ranks by itself", RankRule);
        request.Refuse("and `target_bits` exclude each other: a budget bounds the whole", ExtraSize);
    }

    private static LrqSettings ResolveResidual(MethodRequest request)
    {
        if (request.Values.Find(TrainingOptions.Loss) == LossWeighting.Fisher)
            request.Problems.Add("`loss` fisher does not go with `residual` lrq: what the model feels of block outputs is measured for methods that learn by themselves; take relative or plain, or method lrq+.");
        (double rate, Grids.GridStart start) = LearningRates.OfResidual(request);
        return new LrqSettings { Rank = LrqMethod.ResolveRank(request, ResidualRank), Steps = TrainingOptions.Resolve(request, rate), First = start };
    }

    private int ResolveRank(MethodRequest request, RankRule rule, bool budget, int largestPlanned)
    {
        IReadOnlyList<LinearShape> linears = request.Linears;
        int smallest = linears.Count == 0 ? int.MaxValue : linears.Min(linear => Math.Min(linear.OutFeatures, linear.InFeatures));
        if (request.Values.Find(Rank) is { } asked)
        {
            if (asked != 0 && request.EngineBlocks) request.Problems.Add($"`rank` {asked}: a budget over llama.cpp's blocks is spent on blocks alone, as a LoRA file stores floats; leave it out.");
            if (request.Values.Find(RankRule) is not (null or Layers.RankRule.Fixed) && !budget)
                request.Problems.Add($"`rank` does not apply to `rank_rule` {Choices.Of(RankRules, rule)}, which decides ranks by itself.");
            if (asked == LrqMethod.FullRank) request.Problems.Add("`rank` full: a branch of full rank is as large as the weight; give a number.");
            else if (asked > smallest && !budget)
            {
                LinearShape small = linears.First(linear => Math.Min(linear.OutFeatures, linear.InFeatures) == smallest);
                request.Problems.Add($"`rank` {asked}: larger than {small.Name} ({small.OutFeatures} x {small.InFeatures}); ask for at most {smallest}.");
            }
            return asked;
        }
        if (budget) return request.EngineBlocks ? 0 : largestPlanned;
        if (rule != Layers.RankRule.Fixed) return 0;
        if (smallest < PeerRank) request.Notes.Add($"Rank {PeerRank} is cut to {smallest}: a matrix of the model has no larger one.");
        return Math.Min(PeerRank, smallest);
    }
}
