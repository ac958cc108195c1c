namespace LowRankQuant.Quantization.Methods.LrqPlus;

/// <summary>The codes that lrq+ begins at.</summary>
internal enum FirstCodes
{
    /// <summary>Those nearest to the weight on its first grid.</summary>
    Grid,

    /// <summary>GPTQ's.</summary>
    Gptq,

    /// <summary>Those of flrq+ without branches.</summary>
    FlrqPlus,
}
