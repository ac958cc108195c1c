using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>
/// AWQ on one layer whose channels are scaled already: every group is clipped where that leaves the least error of its part of the output (<see cref="ClipSearch"/>, over all calibration
/// tokens), then rounded to nearest.
/// </summary>
/// <param name="clip">Whether groups are clipped. Never those of query and key projections, whose outputs are multiplied with each other.</param>
/// <param name="start">How the grids of the clipped weights are found.</param>
internal sealed class AwqSolver(bool clip, GridStart start) : ILayerSolver
{
    /// <inheritdoc/>
    public LayerSolution Solve(LayerProblem problem)
    {
        float[] weight = Array.ConvertAll(problem.Weight, value => (float)value);
        double[]? limits = clip && !IsScored(problem.Name) ? problem.ClipLimits(problem.Weight, ClipRange.Awq) : null;
        if (limits is not null)
        {
            int size = weight.Length / limits.Length;
            for (int group = 0; group < limits.Length; group++)
            {
                float limit = (float)limits[group];
                foreach (ref float value in weight.AsSpan(group * size, size)) value = Math.Clamp(value, -limit, limit);
            }
        }
        var scheme = new Scheme(problem.Grid, problem.Grid is UniformGrid ? start : GridStart.Search, problem.ScaleType) { ScaleDigits = problem.ScaleDigits };
        QuantizedWeight rounded = FittedGrid.Find(weight, problem.OutFeatures, problem.InFeatures, scheme, problem.Workers).Round(weight, default, problem.Workers);
        return new LayerSolution(rounded, []);
    }

    /// <summary>Whether a linear is a query or key projection, by its name.</summary>
    internal static bool IsScored(string module)
    {
        string linear = module[(module.LastIndexOf('.') + 1)..];
        return linear.StartsWith("q_", StringComparison.Ordinal) || linear.StartsWith("k_", StringComparison.Ordinal) || linear.StartsWith("query", StringComparison.Ordinal)
            || linear.StartsWith("key", StringComparison.Ordinal) || linear.Contains("qkv", StringComparison.Ordinal);
    }
}
