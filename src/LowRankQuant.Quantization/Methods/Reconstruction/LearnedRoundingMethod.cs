using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>A method that learns the rounding of whole blocks by gradients; methods of the kind differ in the form of D that each weight gets.</summary>
public abstract class LearnedRoundingMethod : QuantizationMethod
{
    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [.. TrainingOptions.All, TrainingOptions.Start];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.Calibration | MethodNeeds.Gradients;

    /// <inheritdoc/>
    public override bool TakesFloatGrids => true;

    /// <inheritdoc/>
    public override WindowDefaults Windows(OptionValues values, string preset) => TrainingOptions.Windows(values, preset);
}
