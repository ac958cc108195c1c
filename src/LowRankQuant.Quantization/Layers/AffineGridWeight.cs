using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Layers;

/// <summary>Codes on an affine grid. Minima keep their place among the codes while scales are refitted; both are rounded to their stored type together.</summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="grid">The grid.</param>
internal sealed class AffineGridWeight(int rows, int columns, AffineGrid grid) : GridWeight(rows, columns, grid)
{
    /// <summary>Finds scales and minima for a matrix and rounds it to nearest.</summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="start">How scales and minima are found.</param>
    /// <param name="scaleType">Their stored type.</param>
    /// <param name="workers">Threads.</param>
    public static AffineGridWeight Find(double[] matrix, int rows, int columns, AffineGrid grid, GridStart start, ScaleType scaleType, WorkerPool workers)
    {
        AffineParameters found = AffineSearch.Find(Array.ConvertAll(matrix, value => (float)value), grid, start, scaleType, workers);
        var result = new AffineGridWeight(rows, columns, grid);
        for (int group = 0; group < found.Steps.Length; group++) (result.Scales[group], result.Zeros[group]) = (found.Steps[group], -(double)found.Minima[group] / found.Steps[group]);
        result.RoundCodes(matrix, workers);
        return result;
    }

    /// <inheritdoc/>
    public override void RoundScales(ScaleType type, int? digits)
    {
        for (int group = 0; group < Scales.Length; group++)
        {
            (float scale, float minimum) = AffineFit.Stored(Scales[group], Zeros[group], type);
            (Scales[group], Zeros[group]) = (scale, -(double)minimum / scale);
        }
    }

    /// <inheritdoc/>
    public override AffineWeight ToQuantizedWeight(ScaleType type, LowRankBranch? branch)
    {
        float[] scales = new float[Scales.Length], minima = new float[scales.Length];
        for (int group = 0; group < scales.Length; group++) (scales[group], minima[group]) = AffineFit.Stored(Scales[group], Zeros[group], type);
        return new AffineWeight(Rows, Columns, (AffineGrid)Grid, Codes, scales, minima, type, branch);
    }
}
