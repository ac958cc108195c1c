using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>What is known about the inputs of the layers of one stage.</summary>
/// <param name="Statistics">Of the inputs Xq that the layers get in the quantized model, or of those in the full-precision model.</param>
/// <param name="Cross">C = Xfp^T Xq / tokens, [n, n]; null where the layers are fitted to Xq alone.</param>
internal sealed record StageInputs(InputStatistics Statistics, double[]? Cross)
{
    /// <summary>
    /// The squared output error per token of a weight, less what does not depend on it: with C, |Xfp W^T - Xq What^T|^2 - |Xfp W^T|^2 =
    /// tr(What Hq What^T) - 2 tr(W C What^T); without, |Xq (W - What)^T|^2. For comparing candidates on held-out windows.
    /// </summary>
    /// <param name="weight">W, [rows, n].</param>
    /// <param name="candidate">What, [rows, n].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="rowWeights">[rows], or null for all alike.</param>
    /// <param name="workers">Threads.</param>
    public double ErrorOf(double[] weight, double[] candidate, int rows, double[]? rowWeights, WorkerPool workers)
    {
        int n = Statistics.Size;
        double[] energies;
        if (Cross is null)
        {
            energies = QuadraticForm.Rows([.. weight.Zip(candidate, (a, b) => a - b)], Statistics.Covariance, rows, n, workers);
        }
        else
        {
            energies = QuadraticForm.Rows(candidate, Statistics.Covariance, rows, n, workers);
            var image = new double[weight.Length];
            MatrixProduct.Multiply(weight, Cross, image, rows, n, n, workers);
            for (int row = 0; row < rows; row++) energies[row] -= 2 * VectorKernels.Dot<double>(image.AsSpan(row * n, n), candidate.AsSpan(row * n, n));
        }
        double sum = 0;
        for (int row = 0; row < rows; row++) sum += (rowWeights?[row] ?? 1) * energies[row];
        return sum;
    }
}
