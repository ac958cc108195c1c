using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>A method that learns the rounding of whole blocks by gradients; methods of the kind differ in the form of D that each weight gets.</summary>
public abstract class LearnedRoundingMethod : QuantizationMethod
{
    /// <summary>Whether blocks learn on the inputs of the model quantized so far.</summary>
    public static RecipeOption<bool> QuantizedInputs { get; } = Declare.Flag(
        "quantized_inputs", "Learn on the inputs of the model quantized so far; false: on those of the full-precision model", "true");

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [.. TrainingOptions.All, TrainingOptions.Start, QuantizedInputs];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.Calibration | MethodNeeds.Gradients;

    /// <inheritdoc/>
    public override bool TakesFloatGrids => true;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => true;

    /// <summary>How blocks are trained.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="rate">First learning rate where nobody says.</param>
    internal static TrainingSettings Training(MethodRequest request, double rate) =>
        TrainingOptions.Resolve(request, rate) with { FullPrecisionInputs = !request.Values.Or(QuantizedInputs, true) };

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset) => TrainingOptions.Windows(values, preset);
}
