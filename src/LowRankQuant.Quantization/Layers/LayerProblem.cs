using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Layers;

/// <summary>One linear layer to be quantized by itself: its weight, and what is known about its inputs.</summary>
internal sealed record LayerProblem
{
    /// <summary>Name for messages, such as <c>model.layers.0.mlp.up_proj</c>.</summary>
    public required string Name { get; init; }

    /// <summary>W, [outFeatures, inFeatures], row-major. Not to be changed.</summary>
    public required double[] Weight { get; init; }

    /// <summary>Rows of W.</summary>
    public required int OutFeatures { get; init; }

    /// <summary>Columns of W.</summary>
    public required int InFeatures { get; init; }

    /// <summary>H = X^T X / tokens and the mean magnitude of every input.</summary>
    public required InputStatistics Inputs { get; init; }

    /// <summary>C = Xfp^T Xq / tokens, [n, n], of the inputs in the full-precision model and of <see cref="Inputs"/>; null where only the latter are known.</summary>
    public double[]? Cross { get; init; }

    /// <summary>The grid of this layer.</summary>
    public required WeightGrid Grid { get; init; }

    /// <summary>The largest magnitude of all weights that an engine runs as one matrix with this one, where they share a scale of the matrix; null for this weight alone.</summary>
    public float? FusedLargest { get; init; }

    /// <summary>The type in which scales are stored.</summary>
    public required ScaleType ScaleType { get; init; }

    /// <summary>Significant bits that a stored scale may have; null for all that its type has.</summary>
    public int? ScaleDigits { get; init; }

    /// <summary>Part of the mean diagonal of H that is added to its diagonal, by methods that work in the full covariance.</summary>
    public required double Damping { get; init; }

    /// <summary>Rank decided by a budget for the whole model; null where the method decides by itself.</summary>
    public int? PlannedRank { get; init; }

    /// <summary>[outFeatures]: how much the model's loss feels the squared error of each output, or null for all alike.</summary>
    public double[]? RowSensitivity { get; init; }

    /// <summary>Seed of this layer's random vectors.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Threads.</summary>
    public required WorkerPool Workers { get; init; }

    /// <summary>Asks to stop.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>Has the collector take back the matrices that the steps so far let go, where they are large.</summary>
    public void TakeBack() => ManagedMemory.TakeBack(sizeof(double) * Math.Max(Weight.LongLength, (long)InFeatures * InFeatures));

    /// <summary>A matrix rounded to nearest on the grid of this layer (<see cref="NearestRounding"/>).</summary>
    /// <param name="matrix">[outFeatures, inFeatures].</param>
    /// <param name="limits">[outFeatures, groups]: magnitudes to which each group of a uniform grid is clamped first, or null.</param>
    public GridWeight RoundToNearest(double[] matrix, double[]? limits = null) =>
        NearestRounding.Round(matrix, OutFeatures, InFeatures, Grid, ScaleType, Inputs, Workers, limits);

    /// <summary>The magnitudes to which groups are best clamped before they are rounded; null on a two-level grid, whose search covers that.</summary>
    /// <param name="matrix">[outFeatures, inFeatures].</param>
    /// <param name="range">Candidates.</param>
    public double[]? ClipLimits(double[] matrix, ClipRange range) => Grid is UniformGrid grid
        ? ClipSearch.Find(matrix, OutFeatures, InFeatures, grid, Inputs.Covariance, range, Workers).Limits
        : null;
}

/// <summary>What a solver made of a layer.</summary>
/// <param name="Weight">Codes and scales as stored, with the branch.</param>
/// <param name="Warnings">What the user should know; empty when nothing.</param>
internal sealed record LayerSolution(QuantizedWeight Weight, IReadOnlyList<string> Warnings);

/// <summary>Quantizes one layer.</summary>
internal interface ILayerSolver
{
    /// <summary>Finds codes, scales and a low-rank branch.</summary>
    LayerSolution Solve(LayerProblem problem);
}
