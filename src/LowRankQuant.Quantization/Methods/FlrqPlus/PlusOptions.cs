namespace LowRankQuant.Quantization.Methods.FlrqPlus;

/// <summary>How flrq+ treats one layer (specification FLRQ 15). The defaults are the combination that won at equal bits.</summary>
internal sealed record PlusOptions
{
    /// <summary>Rounds of re-rounding, scale refit and factor refit.</summary>
    public int Rounds { get; init; } = 3;

    /// <summary>Bits of an element of a factor: 8 or 16.</summary>
    public int FactorBits { get; init; } = 8;

    /// <summary>Whether the first term is fitted to the weight (whitened start) instead of being empty.</summary>
    public bool WhitenedStart { get; init; } = true;

    /// <summary>Whether codes are first chosen with error compensation (GPTQ) instead of to nearest.</summary>
    public bool Compensate { get; init; } = true;

    /// <summary>Whether the fit of the term weighs outputs by the loss's sensitivity to them.</summary>
    public bool WeighOutputs { get; init; } = true;
}
