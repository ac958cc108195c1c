using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// QEP (2504.09629): the target of a layer moves so that it undoes a part of what earlier layers did to its inputs,
/// <code>W* = W + strength W (Xfp - Xq) Xq^T (Xq Xq^T)^-1 = W + strength W (C - H) Hd^-1,  C = Xfp^T Xq / tokens, H = Xq^T Xq / tokens</code>
/// with tokens as rows. Full strength over-fits (specification FLRQ 15).
/// </summary>
internal static class ErrorPropagation
{
    /// <summary>W*, [rows, n].</summary>
    /// <param name="weight">W, [rows, n].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="cross">C, [n, n].</param>
    /// <param name="inputs">Statistics of Xq.</param>
    /// <param name="metric">Hd of Xq.</param>
    /// <param name="strength">0 leaves W; 1 is the whole shift.</param>
    /// <param name="workers">Threads.</param>
    public static double[] Shift(
        double[] weight, int rows, double[] cross, InputStatistics inputs, DampedCovariance metric, double strength, WorkerPool workers)
    {
        int n = metric.Size;
        var difference = new double[n * n];
        for (int i = 0; i < difference.Length; i++) difference[i] = cross[i] - inputs.Covariance[i];
        var shift = new double[weight.Length];
        MatrixProduct.Multiply(weight, difference, shift, rows, n, n, workers);
        metric.SolveRight(shift, rows, workers);
        for (int i = 0; i < shift.Length; i++) shift[i] = weight[i] + (strength * shift[i]);
        return shift;
    }
}
