namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>How many terms a sketch finds at once.</summary>
public enum SketchForm
{
    /// <summary>One (R1-Sketch, the paper's).</summary>
    RankOne,

    /// <summary>Several, as matrix products.</summary>
    Block,
}
