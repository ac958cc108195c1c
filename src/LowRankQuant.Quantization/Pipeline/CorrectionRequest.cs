using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Pipeline.Budget;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>What somebody asked for about low-rank correction; null where nothing was said. Meanings: see <see cref="CorrectionRecipe"/>.</summary>
public sealed record CorrectionRequest
{
    /// <summary>How ranks are decided.</summary>
    public RankRule? RankRule { get; init; }

    /// <summary>x.</summary>
    public double? ExtraSize { get; init; }

    /// <summary>it of R1-Sketch.</summary>
    public int? PowerIterations { get; init; }

    /// <summary>How many terms a sketch finds at once.</summary>
    public SketchForm? Sketch { get; init; }

    /// <summary>Exponent of the activation scale.</summary>
    public double? ScalePower { get; init; }

    /// <summary>T of BLC, or rounds of flrq+.</summary>
    public int? Epochs { get; init; }

    /// <summary>Whether residuals are clipped.</summary>
    public bool? Clip { get; init; }

    /// <summary>Bits of an element of a factor.</summary>
    public int? FactorBits { get; init; }

    /// <summary>Damping of the input covariance.</summary>
    public double? Damping { get; init; }

    /// <summary>Whether every layer's damping is chosen on held-out windows.</summary>
    public bool ChooseDamping { get; init; }

    /// <summary>Whether first codes compensate each other's error.</summary>
    public bool? Compensate { get; init; }

    /// <summary>Whether the fit weighs outputs.</summary>
    public bool? WeighOutputs { get; init; }

    /// <summary>Whether layers see the inputs of the quantized model.</summary>
    public bool? QuantizedInputs { get; init; }

    /// <summary>Strength of error propagation.</summary>
    public double? Propagation { get; init; }

    /// <summary>Fewest calibration tokens of an expert that is fitted to its own inputs.</summary>
    public int? ExpertFloor { get; init; }

    /// <summary>Who has the last word on the codes.</summary>
    public ResidualRounding? Residual { get; init; }

    /// <summary>Rank of LRQ's L2 U2 where it has.</summary>
    public int? ResidualRank { get; init; }

    /// <summary>Whether its training trains the branches' factors too.</summary>
    public bool? TrainBranch { get; init; }

    /// <summary>Stored bits per weight to spend.</summary>
    public double? TargetBits { get; init; }

    /// <summary>Whether the budget may change widths.</summary>
    public BudgetWidths? Widths { get; init; }
}
