using System.Text.Json.Serialization;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Layers;

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

    /// <summary>amax: the largest magnitude of the weight, which a plain grid has to reach (FLRQ, Eq. 9, without its scale of inputs); null where it was not measured.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Magnitude { get; init; }

    /// <summary>The same of what the branch leaves for the grid, W - B A; that of the weight where there is no branch.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ResidualMagnitude { get; init; }

    /// <summary>Measures a layer.</summary>
    /// <param name="name">Name within the block.</param>
    /// <param name="weight">W, what the stored weight stands for, [outFeatures, inFeatures].</param>
    /// <param name="inputs">Statistics of X.</param>
    /// <param name="stored">What stands for it.</param>
    /// <param name="workers">Threads.</param>
    internal static LayerReport Measure(string name, double[] weight, InputStatistics inputs, QuantizedWeight stored, WorkerPool workers)
    {
        OutputEnergies energies = OutputEnergies.Of(weight, inputs, stored, workers);
        return new LayerReport(
            name, stored.OutFeatures, stored.InFeatures, stored.Grid.Bits, stored.Branch?.Rank ?? 0, stored.BitsPerWeight, energies.Relative(energies.Nearest),
            energies.Relative(energies.Stored))
        {
            Magnitude = MagnitudeOf(weight, stored.InFeatures, null),
            ResidualMagnitude = MagnitudeOf(weight, stored.InFeatures, stored.Branch),
        };
    }

    private static double MagnitudeOf(double[] weight, int columns, LowRankBranch? branch)
    {
        var taken = new float[columns];
        double largest = 0;
        for (int row = 0; row < weight.Length / columns; row++)
        {
            if (branch is not null)
            {
                Array.Clear(taken);
                branch.AddRowTo(row, taken);
            }
            for (int column = 0; column < columns; column++) largest = Math.Max(largest, Math.Abs(weight[(row * columns) + column] - taken[column]));
        }
        return largest;
    }
}

/// <summary>Mean squared outputs per token of a layer, |X M^T|^2 / tokens: of its weight, and of the errors of what may stand for it.</summary>
/// <param name="Whole">Of the weight.</param>
/// <param name="Nearest">Of the error when it is rounded to nearest on the plain range.</param>
/// <param name="Stored">Of the error as stored.</param>
internal readonly record struct OutputEnergies(double Whole, double Nearest, double Stored)
{
    /// <summary>Measures a layer; parameters as <see cref="LayerReport.Measure"/>.</summary>
    public static OutputEnergies Of(double[] weight, InputStatistics inputs, QuantizedWeight stored, WorkerPool workers)
    {
        int m = stored.OutFeatures, n = stored.InFeatures;
        double Energy(double[] matrix) => QuadraticForm.Rows(matrix, inputs.Covariance, m, n, workers).Sum();

        // One matrix for both differences: of a large layer each takes gigabytes.
        double[] difference = [.. weight];
        NearestRounding.Round(weight, m, n, stored.Grid, stored.ScaleType, inputs, workers).LeaveErrorOf(difference);
        double whole = Energy(weight), nearest = Energy(difference);
        var values = new float[weight.Length];
        stored.Reconstruct(values);
        for (int i = 0; i < values.Length; i++) difference[i] = weight[i] - values[i];
        return new OutputEnergies(whole, nearest, Energy(difference));
    }

    /// <summary>The energies of two layers with the same inputs as one.</summary>
    public static OutputEnergies operator +(OutputEnergies a, OutputEnergies b) => new(a.Whole + b.Whole, a.Nearest + b.Nearest, a.Stored + b.Stored);

    /// <summary>The root of an energy over that of the weight.</summary>
    public double Relative(double energy) => Whole > 0 ? Math.Sqrt(Math.Max(0, energy) / Whole) : 0;
}
