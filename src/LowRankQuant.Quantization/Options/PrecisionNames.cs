using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Options;

/// <summary>Names of precisions in recipes and on the command line.</summary>
public static class PrecisionNames
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<KeyValuePair<string, Precision>> All { get; } = [new("fp32", Precision.Single), new("bf16", Precision.BFloat16)];
}
