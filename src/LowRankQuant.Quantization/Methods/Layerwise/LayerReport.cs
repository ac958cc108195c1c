using System.Text.Json.Serialization;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>What became of one linear layer.</summary>
/// <param name="Name">Name within the block.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Bits">Bits of a code.</param>
/// <param name="Rank">Rank of the branch; 0 without.</param>
/// <param name="BitsPerWeight">Codes, scales, zero points and factors.</param>
/// <param name="ErrorBefore">Relative output error |X (W - What)^T| / |X W^T| on the calibration tokens, rounded to nearest on the plain range, no branch.</param>
/// <param name="ErrorAfter">The same as stored.</param>
public sealed record LayerReport(
    string Name, int OutFeatures, int InFeatures, int Bits, int Rank, double BitsPerWeight, double ErrorBefore, double ErrorAfter)
{
    /// <summary>The damping of the input covariance, where it was chosen on held-out windows.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Damping { get; init; }

    /// <summary>Measures a layer.</summary>
    /// <param name="name">Name within the block.</param>
    /// <param name="weight">W, what the stored weight stands for, [outFeatures, inFeatures].</param>
    /// <param name="inputs">Statistics of X.</param>
    /// <param name="stored">What stands for it.</param>
    /// <param name="workers">Threads.</param>
    internal static LayerReport Measure(string name, double[] weight, InputStatistics inputs, QuantizedWeight stored, WorkerPool workers)
    {
        int m = stored.OutFeatures, n = stored.InFeatures;
        double Energy(double[] matrix) => QuadraticForm.Rows(matrix, inputs.Covariance, m, n, workers).Sum();

        var values = new float[weight.Length];
        stored.Reconstruct(values);
        var difference = new double[values.Length];
        for (int i = 0; i < values.Length; i++) difference[i] = weight[i] - values[i];
        double whole = Energy(weight), before = Energy(NearestRounding.Round(weight, m, n, stored.Grid, inputs, workers).ErrorOf(weight));
        double Relative(double energy) => whole > 0 ? Math.Sqrt(Math.Max(0, energy) / whole) : 0;
        return new LayerReport(
            name, m, n, stored.Grid.Bits, stored.Branch?.Rank ?? 0, stored.BitsPerWeight, Relative(before), Relative(Energy(difference)));
    }
}
