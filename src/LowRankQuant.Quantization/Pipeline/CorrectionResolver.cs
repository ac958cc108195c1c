using System.Globalization;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Pipeline.Budget;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>The part of <see cref="RecipeResolver"/> that is about low-rank correction. Whatever is wrong goes to the list of problems.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="method">The method.</param>
/// <param name="linears">The quantizable weights of a block.</param>
/// <param name="problems">Receives what cannot be run.</param>
/// <param name="notes">Receives what the user should know.</param>
internal sealed class CorrectionResolver(
    RecipeRequest request, QuantizationMethod method, IReadOnlyList<LinearShape> linears, List<string> problems, List<string> notes)
{
    private const int PeerRank = 32;

    // A plan rarely gives a layer more; beyond it the plan only takes longer.
    private const int PlanRank = 64;
    private const double DefaultExtraSize = 0.2;
    private const double LargestExtraSize = 16;
    private const double FirstDamping = 0.3;
    private const double PeerDamping = 0.01;

    // Chosen on TinyStories-656k (docs/results/flrq.md): one half undoes too little, all of it over-fits.
    private const double PlusPropagation = 0.7;

    /// <summary>Whether a method is a low-rank correction.</summary>
    public static bool Covers(QuantizationMethod method) => method is not (
        QuantizationMethod.Rtn or QuantizationMethod.FlexRound or QuantizationMethod.Lrq or QuantizationMethod.LrqHybrid);

    /// <summary>Whether a request has LRQ learn the codes beside a branch.</summary>
    public static bool LearnsResidual(RecipeRequest request) => request.Correction.Residual == ResidualRounding.Lrq;

    private CorrectionRequest Asked => request.Correction;

    private bool IsFlrq => method == QuantizationMethod.Flrq;

    private bool IsPlus => method == QuantizationMethod.FlrqPlus;

    private string Name => RecipeNames.Of(RecipeNames.Methods, method);

    /// <summary>Refuses the options of low-rank correction for a method that has none.</summary>
    public void RefuseAll()
    {
        foreach ((string option, bool given, _) in Options())
        {
            if (given) problems.Add($"{option} does not apply to method {Name}: it is for low-rank correction ({RecipeNames.List(CorrectionNames())}).");
        }
    }

    /// <summary>Resolves the options of a method that is a low-rank correction.</summary>
    /// <param name="grid">Width and groups of the codes.</param>
    /// <param name="scaleType">Stored type of scales.</param>
    /// <param name="heldOut">Held-out windows.</param>
    public CorrectionRecipe Resolve(WeightGrid grid, ScaleType scaleType, int heldOut)
    {
        foreach ((string option, bool given, bool applies) in Options())
        {
            if (!given || applies) continue;
            problems.Add(option is "--residual-rank" or "--train-branch"
                ? $"{option} needs --residual lrq: it says how that learns."
                : $"{option} does not apply to method {Name}.");
        }
        RankRule rule = Rule();
        double extra = Number("--extra-size", Asked.ExtraSize ?? DefaultExtraSize, 0, LargestExtraSize, "size of the branch relative to the codes");
        int factorBits = Asked.FactorBits ?? (IsPlus ? 8 : 16);
        if (factorBits is not (8 or 16)) problems.Add($"--factor-bits {factorBits}: must be 8 or 16.");
        BudgetWidths widths = Asked.Widths ?? BudgetWidths.Mixed;
        if (Asked.Widths is not null && Asked.TargetBits is null) problems.Add("--widths needs --target-bits: it says what the budget may change.");
        if (Asked.TargetBits is not null && Asked.RankRule is not null) problems.Add("--rank-rule and --target-bits exclude each other: a budget decides ranks by itself.");
        if (Asked.TargetBits is not null && Asked.ExtraSize is not null) problems.Add("--extra-size and --target-bits exclude each other: a budget bounds the whole.");
        if (Asked.TargetBits is { } target) CheckTarget(target, grid, scaleType, widths);
        else if (rule == RankRule.Cap && linears.All(linear => new RankCost(linear.OutFeatures, linear.InFeatures, grid.Bits, factorBits).Cap(extra) == 0) && extra > 0)
            notes.Add(Text($"--extra-size {extra} does not pay for rank 1 in any layer; no layer gets a branch."));
        if (Asked.TrainBranch == true && request.Rank == 0) problems.Add("--train-branch true: --rank 0 leaves no branch to train.");
        if (Asked.ChooseDamping && heldOut == 0) problems.Add("--damping auto needs held-out windows to judge by: give --held-out 1 or more, or a number.");
        double propagation = Number("--propagation", Asked.Propagation ?? (IsPlus ? PlusPropagation : 0), 0, 1, "part of earlier layers' errors that is undone");
        bool quantizedInputs = Asked.QuantizedInputs ?? IsPlus;
        if (!quantizedInputs && Asked.Propagation > 0) problems.Add("--propagation needs --quantized-inputs true: it undoes what quantization did to the inputs.");
        var recipe = new CorrectionRecipe
        {
            RankRule = rule,
            Rank = Rank(rule),
            ExtraSize = extra,
            PowerIterations = Whole("--power-iterations", Asked.PowerIterations ?? 2, 0, 64, "power iterations of a sketch"),
            Sketch = Asked.Sketch ?? SketchForm.RankOne,
            ScalePower = Number("--scale-power", Asked.ScalePower ?? 2.5, 0, 8, "exponent of the activation scale"),
            Epochs = Whole("--epochs", Asked.Epochs ?? Epochs(grid.Bits), 0, 1000, IsPlus ? "rounds of refinement" : "epochs of BLC"),
            Clip = Asked.Clip ?? ((IsFlrq || IsPlus) && grid is UniformGrid),
            FactorBits = factorBits,
            Damping = Number("--damping", Asked.Damping ?? (IsPlus ? FirstDamping : PeerDamping), 0, 10, "part of the mean diagonal of the input covariance"),
            ChooseDamping = Asked.ChooseDamping,
            Residual = Asked.Residual ?? ResidualRounding.Fitted,
            TrainBranch = Asked.TrainBranch ?? false,
            Compensate = Asked.Compensate ?? IsPlus,
            WeighOutputs = Asked.WeighOutputs ?? IsPlus,
            QuantizedInputs = quantizedInputs,
            Propagation = quantizedInputs ? propagation : 0,
            ExpertFloor = (int)Number("--expert-floor", Asked.ExpertFloor ?? CorrectionRecipe.UsualExpertFloor, 0, 1 << 20, "calibration tokens"),
            TargetBits = Asked.TargetBits,
            Widths = widths,
        };
        if (recipe.MayHaveBranches) return recipe;
        // What is said of branches says nothing where there are none.
        foreach ((string option, bool given) in BranchOptions())
        {
            if (given) problems.Add($"{option} is about low-rank branches, and no layer gets one (rank 0, extra size 0, or llama.cpp's blocks alone); leave it out.");
        }
        return recipe;
    }

    private IEnumerable<(string Option, bool Given)> BranchOptions() =>
    [
        ("--factor-bits", IsPlus && Asked.FactorBits is not null),
        ("--weigh-outputs", IsPlus && Asked.WeighOutputs is not null),
        ("--power-iterations", IsFlrq && Asked.PowerIterations is not null),
        ("--sketch", IsFlrq && Asked.Sketch is not null),
        ("--train-branch", Asked.TrainBranch is not null && LearnsResidual(request) && !(Asked.TrainBranch == true && request.Rank == 0)),
    ];

    private static IReadOnlyList<KeyValuePair<string, QuantizationMethod>> CorrectionNames() =>
        [.. RecipeNames.Methods.Where(pair => Covers(pair.Value))];

    private IEnumerable<(string Option, bool Given, bool Applies)> Options() =>
    [
        ("--rank-rule", Asked.RankRule is not null, true),
        ("--extra-size", Asked.ExtraSize is not null, IsFlrq || Rule() == RankRule.Cap),
        ("--power-iterations", Asked.PowerIterations is not null, IsFlrq),
        ("--sketch", Asked.Sketch is not null, IsFlrq),
        ("--scale-power", Asked.ScalePower is not null, IsFlrq),
        ("--epochs", Asked.Epochs is not null, IsFlrq || IsPlus),
        ("--clip", Asked.Clip is not null, !IsPlus),
        ("--factor-bits", Asked.FactorBits is not null, IsPlus),
        ("--damping", Asked.Damping is not null, IsPlus || method == QuantizationMethod.QeraExact),
        ("--damping auto", Asked.ChooseDamping, IsPlus || method == QuantizationMethod.QeraExact),
        ("--residual", Asked.Residual is not null, true),
        ("--residual-rank", Asked.ResidualRank is not null, LearnsResidual(request)),
        ("--train-branch", Asked.TrainBranch is not null, LearnsResidual(request)),
        ("--compensate", Asked.Compensate is not null, IsPlus),
        ("--weigh-outputs", Asked.WeighOutputs is not null, IsPlus),
        ("--quantized-inputs", Asked.QuantizedInputs is not null, true),
        ("--propagation", Asked.Propagation is not null, true),
        ("--expert-floor", Asked.ExpertFloor is not null, true),
        ("--target-bits", Asked.TargetBits is not null, IsPlus),
        ("--widths", Asked.Widths is not null, IsPlus),
    ];

    private RankRule Rule()
    {
        RankRule rule = Asked.RankRule ?? (request.Rank is not null ? RankRule.Fixed : IsFlrq ? RankRule.R1Flr : IsPlus ? RankRule.Cap : RankRule.Fixed);
        if (!IsFlrq && rule is RankRule.R1Flr or RankRule.PredictedNoise)
        {
            string message = $"--rank-rule {RecipeNames.Of(RecipeNames.RankRules, rule)} works with --method flrq; {Name} takes fixed or cap.";
            if (!problems.Contains(message)) problems.Add(message);
        }
        return rule;
    }

    private int Rank(RankRule rule)
    {
        int smallest = linears.Count == 0 ? int.MaxValue : linears.Min(linear => Math.Min(linear.OutFeatures, linear.InFeatures));
        if (request.Rank is { } asked)
        {
            if (asked != 0 && BudgetGrids.AreBlocks(request)) problems.Add($"--rank {asked}: a budget over llama.cpp's blocks is spent on blocks alone, as a LoRA file stores floats; leave it out.");
            if (Asked.RankRule is not (null or RankRule.Fixed) && Asked.TargetBits is null)
                problems.Add($"--rank does not apply to --rank-rule {RecipeNames.Of(RecipeNames.RankRules, rule)}, which decides ranks by itself.");
            if (asked == RecipeRequest.FullRank) problems.Add("--rank full: a branch of full rank is as large as the weight; give a number.");
            else if (asked < 0) problems.Add($"--rank {asked}: must be at least 0 (rank of the branch).");
            else if (asked > smallest && !(IsPlus && Asked.TargetBits is not null))
            {
                LinearShape small = linears.First(linear => Math.Min(linear.OutFeatures, linear.InFeatures) == smallest);
                problems.Add($"--rank {asked}: larger than {small.Name} ({small.OutFeatures} x {small.InFeatures}); ask for at most {smallest}.");
            }
            return asked;
        }
        if (IsPlus && Asked.TargetBits is not null) return BudgetGrids.AreBlocks(request) ? 0 : PlanRank;
        if (rule != RankRule.Fixed) return 0;
        if (smallest < PeerRank) notes.Add($"Rank {PeerRank} is cut to {smallest}: a matrix of the model has no larger one.");
        return Math.Min(PeerRank, smallest);
    }

    private int Epochs(int bits) => IsPlus ? 3 : bits <= 2 ? 20 : 1;

    private void CheckTarget(double target, WeightGrid grid, ScaleType scaleType, BudgetWidths widths)
    {
        if (linears.Any(linear => !grid.Divides(linear.InFeatures))) return;
        double least = MeanBits(linear => BudgetGrids.For(grid, widths, request.Target, linear.InFeatures)
            .Min(choice => choice.StoredBits(linear.OutFeatures, linear.InFeatures, scaleType)), linears);
        if (target >= least && double.IsFinite(target)) return;
        problems.Add(BudgetGrids.AreBlocks(request)
            ? Text($"--target-bits {target}: the smallest blocks of llama.cpp that the layers fit take {least:F4} bits a weight already; ask for more.")
            : Text($"--target-bits {target}: codes of {(widths == BudgetWidths.Fixed ? grid.Bits : UniformGrid.MinBits)} bits with their scales take {least:F4} bits a weight already; ask for more, or for larger groups."));
    }

    /// <summary>The largest width that all layers could have within a budget; the smallest there is when none fits.</summary>
    public static int LargestWidth(double target, UniformGrid grid, ScaleType scaleType, IReadOnlyList<LinearShape> linears)
    {
        int bits = UniformGrid.MaxBits;
        while (bits > UniformGrid.MinBits && !(Bits(bits) <= target)) bits--;
        return bits;

        double Bits(int width) => MeanBits(linear => (grid with { Bits = width }).StoredBits(linear.OutFeatures, linear.InFeatures, scaleType), linears);
    }

    private static double MeanBits(Func<LinearShape, double> stored, IReadOnlyList<LinearShape> linears)
    {
        double bits = 0, weights = 0;
        foreach (LinearShape linear in linears)
        {
            bits += stored(linear);
            weights += (double)linear.OutFeatures * linear.InFeatures;
        }
        return bits / weights;
    }

    private double Number(string option, double value, double least, double most, string what)
    {
        if (!(value >= least && value <= most)) problems.Add(Text($"{option} {value}: must be {least} to {most} ({what})."));
        return value;
    }

    private int Whole(string option, int value, int least, int most, string what)
    {
        if (value < least || value > most) problems.Add($"{option} {value}: must be {least} to {most} ({what}).");
        return value;
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
