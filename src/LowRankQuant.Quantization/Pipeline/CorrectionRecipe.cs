using System.Text.Json.Serialization;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Pipeline.Budget;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>The part of a recipe that decides low-rank correction: FLRQ, flrq+ and their peers.</summary>
public sealed record CorrectionRecipe
{
    /// <summary>How ranks are decided where no budget decides.</summary>
    public required RankRule RankRule { get; init; }

    /// <summary>The rank of the fixed rule; with a budget, the largest that a layer may get.</summary>
    public required int Rank { get; init; }

    /// <summary>x: largest size of a branch, relative to its codes.</summary>
    public required double ExtraSize { get; init; }

    /// <summary>it of R1-Sketch.</summary>
    public required int PowerIterations { get; init; }

    /// <summary>How many terms a sketch finds at once.</summary>
    public required SketchForm Sketch { get; init; }

    /// <summary>Exponent of FLRQ's activation scale.</summary>
    public required double ScalePower { get; init; }

    /// <summary>T of BLC, or rounds of flrq+.</summary>
    public required int Epochs { get; init; }

    /// <summary>Whether residuals are clipped.</summary>
    public required bool Clip { get; init; }

    /// <summary>Bits of an element of a factor, 8 or 16.</summary>
    public required int FactorBits { get; init; }

    /// <summary>Part of the mean diagonal of the input covariance that is added to its diagonal.</summary>
    public required double Damping { get; init; }

    /// <summary>Whether every layer's damping is chosen on the held-out windows; <see cref="Damping"/> then serves the plan for the whole model alone.</summary>
    public required bool ChooseDamping { get; init; }

    /// <summary>Whether first codes compensate each other's error.</summary>
    public required bool Compensate { get; init; }

    /// <summary>Whether the fit of a branch weighs outputs by what the model feels.</summary>
    public required bool WeighOutputs { get; init; }

    /// <summary>Whether layers are fitted to the inputs of the model quantized so far.</summary>
    public required bool QuantizedInputs { get; init; }

    /// <summary>Strength of the shift of targets that undoes earlier layers' errors; 0 for none.</summary>
    public required double Propagation { get; init; }

    /// <summary>Fewest calibration tokens of an expert unless the request says otherwise.</summary>
    public const int UsualExpertFloor = 64;

    /// <summary>An expert that fewer calibration tokens reach is fitted to the inputs of all experts of its layer together.</summary>
    public int ExpertFloor { get; init; } = UsualExpertFloor;

    /// <summary>Who has the last word on the codes.</summary>
    public required ResidualRounding Residual { get; init; }

    /// <summary>Whether LRQ's training of the codes trains the branches' factors too.</summary>
    public required bool TrainBranch { get; init; }

    /// <summary>Stored bits per weight over all linears that a plan may spend; null for none.</summary>
    public double? TargetBits { get; init; }

    /// <summary>Whether that plan may change widths.</summary>
    public required BudgetWidths Widths { get; init; }

    /// <summary>Whether anything asks how much the model feels each output; measuring it takes forward and backward passes over the whole model.</summary>
    [JsonIgnore]
    public bool UsesSensitivity => TargetBits is not null || ChooseDamping || (WeighOutputs && (RankRule == RankRule.Fixed ? Rank > 0 : ExtraSize > 0));

    /// <summary>Whether a layer may get a branch at all.</summary>
    [JsonIgnore]
    public bool MayHaveBranches => TargetBits is not null || RankRule == RankRule.Fixed ? Rank > 0 : ExtraSize > 0;

    /// <summary>The rank of a layer where neither a plan nor the method's own rule decides.</summary>
    internal int RankFor(int outFeatures, int inFeatures, int bits) =>
        RankRule == RankRule.Cap ? new RankCost(outFeatures, inFeatures, bits, FactorBits).Cap(ExtraSize) : Rank;
}
