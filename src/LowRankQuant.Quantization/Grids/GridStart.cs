namespace LowRankQuant.Quantization.Grids;

/// <summary>How the first step and zero point of every group are found (specification 1.6 of LRQ's released code).</summary>
public enum GridStart
{
    /// <summary>The range of the weights, widened to hold 0.</summary>
    MinMax,

    /// <summary>The range that minimises the mean of |W - What|^2.4, out of 100 shrunk ranges (times all zero points, when asymmetric).</summary>
    Search,
}
