namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>Whether a budget for the whole model may change code widths.</summary>
public enum BudgetWidths
{
    /// <summary>2 to 8 bits per layer, wherever the loss falls most per stored bit.</summary>
    Mixed,

    /// <summary>All layers keep <c>bits</c>; only ranks differ.</summary>
    Fixed,
}
