namespace LowRankQuant.Numerics;

/// <summary>What the numbers of a linear layer's products are rounded to; sums are always 32-bit floats, and so is everything beside those products.</summary>
public enum Precision
{
    /// <summary>32-bit floats.</summary>
    Single,

    /// <summary>bfloat16: eight significant bits, the range of a float.</summary>
    BFloat16,
}
