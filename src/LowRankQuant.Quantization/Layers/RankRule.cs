namespace LowRankQuant.Quantization.Layers;

/// <summary>How the rank of a layer's branch is decided.</summary>
public enum RankRule
{
    /// <summary>The authors' rule on the largest magnitude (R1-FLR, Algorithm 1 with the constants of the released code).</summary>
    R1Flr,

    /// <summary>The rank with the best gain of predicted output noise per stored bit (specification FLRQ 15).</summary>
    PredictedNoise,

    /// <summary>One rank for all layers.</summary>
    Fixed,

    /// <summary>The largest rank that the extra size allows.</summary>
    Cap,
}
