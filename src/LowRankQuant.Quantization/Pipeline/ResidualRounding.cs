namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Who has the last word on the codes of what a low-rank branch leaves.</summary>
public enum ResidualRounding
{
    /// <summary>The method's own solver, layer by layer.</summary>
    Fitted,

    /// <summary>LRQ: the rounding is learned by block reconstruction, starting at the solver's codes.</summary>
    Lrq,
}
