using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Layers;

/// <summary>Rounding to nearest on the grid of a layer, whatever its kind.</summary>
internal static class NearestRounding
{
    /// <summary>
    /// A matrix rounded to nearest: on the plain range of every group or, on a two-level grid, on scales searched with the mean square of every input as
    /// its importance, or, with float minima, on ranges searched for the least error.
    /// </summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="scaleType">Stored type of scales that are found as they are stored.</param>
    /// <param name="inputs">Statistics of the layer's inputs.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="limits">[rows, groups]: magnitudes to which each group of a uniform grid is clamped first, or null.</param>
    public static GridWeight Round(
        double[] matrix, int rows, int columns, WeightGrid grid, ScaleType scaleType, InputStatistics inputs, WorkerPool workers, double[]? limits = null) => grid switch
        {
            UniformGrid uniform => GridWeight.RoundToNearest(matrix, rows, columns, uniform, workers, limits),
            AffineGrid affine => AffineGridWeight.Find(matrix, rows, columns, affine, GridStart.Search, scaleType, workers),
            TwoLevelGrid twoLevel => TwoLevelGridWeight.Search(matrix, rows, columns, twoLevel, Importance(inputs, columns), workers),
            FloatGrid floats => FloatGridWeight.Find(matrix, rows, columns, new Scheme(floats, GridStart.MinMax, scaleType), workers),
            _ => throw new NotSupportedException($"No rounding onto {grid}."),
        };

    private static float[] Importance(InputStatistics inputs, int columns) =>
        [.. Enumerable.Range(0, columns).Select(i => (float)inputs.Covariance[(i * columns) + i])];
}
