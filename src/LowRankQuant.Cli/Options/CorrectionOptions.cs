using System.CommandLine;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Quantization.Pipeline;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Options;

/// <summary>The options of <c>lrq quantize</c> that are about low-rank correction.</summary>
internal sealed class CorrectionOptions
{
    public static IReadOnlyList<KeyValuePair<string, AdapterForm>> AdapterForms { get; } =
        [new("lrq", Formats.Peft.AdapterForm.Codes), new("pattern", Formats.Peft.AdapterForm.Pattern), new("padded", Formats.Peft.AdapterForm.Padded)];

    public Option<string?> RankRule { get; } = Create(
        "--rank-rule", "RULE", $"How ranks are decided: {RecipeNames.List(RecipeNames.RankRules)} (default: r1-flr for flrq, cap for flrq+, fixed for the others).");

    public Option<string?> ExtraSize { get; } = Create("--extra-size", "X", "Largest size of a branch relative to its codes, for r1-flr, predicted-noise and cap (default: 0.2).");

    public Option<string?> TargetBits { get; } = Create(
        "--target-bits", "X", "flrq+: stored bits per weight of all linears together, spent on ranks and widths where the model feels it most.");

    public Option<string?> Widths { get; } = Create("--widths", "mixed|fixed", "Whether --target-bits may change code widths (2 to 8 bits a layer) or keeps --bits (default: mixed).");

    public Option<string?> Epochs { get; } = Create("--epochs", "N", "flrq: epochs of BLC (default: 20 at 2 bits, else 1); flrq+: rounds of refinement (default: 3).");

    public Option<string?> Clip { get; } = Create("--clip", "true|false", "Search a clipping range before rounding (default: true for flrq, false for its peers).");

    public Option<string?> PowerIterations { get; } = Create("--power-iterations", "N", "flrq: power iterations of a sketch (default: 2).");

    public Option<string?> Sketch { get; } = Create("--sketch", "rank1|block", "flrq: find low-rank terms one by one, as the paper does, or in blocks (default: rank1).");

    public Option<string?> ScalePower { get; } = Create("--scale-power", "X", "flrq: exponent of the activation scale (default: 2.5).");

    public Option<string?> FactorBits { get; } = Create("--factor-bits", "8|16", "flrq+: bits of an element of a branch (default: 8).");

    public Option<string?> Damping { get; } = Create(
        "--damping", "X|auto", "Part of the mean diagonal added to the input covariance, or auto: the best of a few for every layer, judged on the held-out windows (default: 0.3; qera-exact 0.01).");

    public Option<string?> Residual { get; } = Create(
        "--residual", "fitted|lrq", "Who has the last word on codes: the method itself, or LRQ, which learns them block by block beside the branches (default: fitted).");

    public Option<string?> ResidualRank { get; } = Create("--residual-rank", "N", "--residual lrq: rank of LRQ's scaling matrices (default: by preset).");

    public Option<string?> TrainBranch { get; } = Create("--train-branch", "true|false", "--residual lrq: train the branches' factors along (default: false).");

    public Option<string?> Compensate { get; } = Create("--compensate", "true|false", "flrq+: round with error compensation in GPTQ order (default: true).");

    public Option<string?> WeighOutputs { get; } = Create("--weigh-outputs", "true|false", "flrq+: fit branches where the model feels outputs most (default: true).");

    public Option<string?> QuantizedInputs { get; } = Create("--quantized-inputs", "true|false", "Fit layers to the inputs of the model quantized so far (default: true for flrq+).");

    public Option<string?> Propagation { get; } = Create("--propagation", "X", "Part of earlier layers' errors that a layer undoes, 0 to 1 (default: 0.7 for flrq+, else 0).");

    public Option<string?> ExpertFloor { get; } = Create(
        "--expert-floor", "N", "Experts that fewer calibration tokens reach are fitted to the inputs of all experts of their layer (default: 64).");

    public Option<string?> AdapterForm { get; } = Create(
        "--adapter-form", "lrq|pattern|padded",
        "How branches are written: lrq's own file in the bits that are counted, or a PEFT folder in floats, ranks by module or padded to one (default: lrq; see export).");

    public IEnumerable<Option> All =>
    [
        RankRule, ExtraSize, TargetBits, Widths, Epochs, Clip, PowerIterations, Sketch, ScalePower, FactorBits, Damping, Compensate, WeighOutputs, QuantizedInputs,
        Propagation, ExpertFloor, Residual, ResidualRank, TrainBranch, AdapterForm,
    ];

    public CorrectionRequest Read(OptionReader reader) => new()
    {
        RankRule = reader.Choice(RankRule, RecipeNames.RankRules),
        ExtraSize = reader.Double(ExtraSize),
        TargetBits = reader.Double(TargetBits),
        Widths = reader.Choice(Widths, RecipeNames.Widths),
        Epochs = reader.Int(Epochs),
        Clip = reader.YesNo(Clip),
        PowerIterations = reader.Int(PowerIterations),
        Sketch = reader.Choice(Sketch, RecipeNames.Sketches),
        ScalePower = reader.Double(ScalePower),
        FactorBits = reader.Int(FactorBits),
        Damping = ChoosesDamping(reader) ? null : reader.Double(Damping),
        ChooseDamping = ChoosesDamping(reader),
        Residual = reader.Choice(Residual, RecipeNames.Residuals),
        ResidualRank = reader.Int(ResidualRank),
        TrainBranch = reader.YesNo(TrainBranch),
        Compensate = reader.YesNo(Compensate),
        WeighOutputs = reader.YesNo(WeighOutputs),
        QuantizedInputs = reader.YesNo(QuantizedInputs),
        Propagation = reader.Double(Propagation),
        ExpertFloor = reader.Int(ExpertFloor),
    };

    /// <summary>A recipe's correction in a few words.</summary>
    public static string Describe(CorrectionRecipe correction)
    {
        string rank = correction.TargetBits is { } target ? FormattableString.Invariant($"{target} bits per weight, {RecipeNames.Of(RecipeNames.Widths, correction.Widths)} widths")
            : correction.RankRule == Quantization.Methods.Flrq.RankRule.Fixed ? $"rank {correction.Rank}"
            : FormattableString.Invariant($"rank by {RecipeNames.Of(RecipeNames.RankRules, correction.RankRule)}, extra size {correction.ExtraSize}");
        return $"{rank}, {correction.FactorBits}-bit factors{(correction.ChooseDamping ? ", damping by held-out windows" : "")}";
    }

    private bool ChoosesDamping(OptionReader reader) => string.Equals(reader.Text(Damping), "auto", StringComparison.OrdinalIgnoreCase);
}
