using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Gptq;

/// <summary>
/// GPTQ on one layer: grids as round to nearest has them, scales rounded to their stored type, then codes with error compensation, so that the codes know the scales as they are
/// stored. With static groups all grids come first; else that of a group comes when its first column is reached.
/// </summary>
/// <param name="options">Choices.</param>
internal sealed class GptqSolver(GptqOptions options) : ILayerSolver
{
    /// <inheritdoc/>
    public LayerSolution Solve(LayerProblem problem)
    {
        var warnings = new List<string>();
        GptqInputs inputs = GptqInputs.Of(problem, options, warnings);
        problem.TakeBack();
        problem.Cancellation.ThrowIfCancellationRequested();
        return new LayerSolution(Round(problem, inputs).ToQuantizedWeight(problem.ScaleType, null), warnings);
    }

    /// <summary>Codes and grids, scales as they are stored.</summary>
    internal GridWeight Round(LayerProblem problem, GptqInputs inputs)
    {
        GroupGrid? moved = options.StaticGroups ? null : problem.Grid switch
        {
            UniformGrid { Granularity: Granularity.Group } grid => weights => OfGroup(weights, grid, problem),
            AffineGrid grid => weights => OfGroup(weights, grid, problem),
            _ => null,
        };
        GridWeight weight = moved is null ? Grids(problem) : problem.Grid is AffineGrid affine ? new AffineGridWeight(problem.OutFeatures, problem.InFeatures, affine)
            : new GridWeight(problem.OutFeatures, problem.InFeatures, problem.Grid);
        GptqRounding.Round(
            inputs.Living(problem.Weight), weight, inputs.InverseFactor, problem.Workers, new GptqWalk { Order = inputs.Order, Moved = moved, Correction = inputs.Correction });
        return weight;
    }

    // The grid of the weights as they are, with scales as they are stored; codes are still to be chosen.
    private GridWeight Grids(LayerProblem problem)
    {
        if (problem.Grid is FloatGrid floats)
            return FloatGridWeight.Find(problem.Weight, problem.OutFeatures, problem.InFeatures, new Scheme(floats, options.Start, problem.ScaleType) { FusedLargest = problem.FusedLargest }, problem.Workers);
        if (problem.Grid is AffineGrid affine)
            return AffineGridWeight.Find(problem.Weight, problem.OutFeatures, problem.InFeatures, affine, options.Start, problem.ScaleType, problem.Workers);
        if (problem.Grid is not UniformGrid grid) return problem.RoundToNearest(problem.Weight);
        float[] values = Array.ConvertAll(problem.Weight, value => (float)value);
        GridParameters found = GridSearch.Find(values, problem.InFeatures, grid, options.Start, problem.Workers);
        var weight = new GridWeight(problem.OutFeatures, problem.InFeatures, grid)
        {
            Scales = Array.ConvertAll(found.Steps, step => (double)step),
            Zeros = Array.ConvertAll(found.Zeros, zero => (double)zero),
        };
        weight.RoundScales(problem.ScaleType, problem.ScaleDigits);
        return weight;
    }

    private (double Scale, double Zero) OfGroup(ReadOnlySpan<double> weights, AffineGrid grid, LayerProblem problem)
    {
        float[] values = new float[weights.Length], scratch = new float[weights.Length];
        for (int i = 0; i < values.Length; i++) values[i] = (float)weights[i];
        AffineGroup found = AffineSearch.FindGroup(values, grid.MaxCode, options.Start, problem.ScaleType, scratch);
        return (found.Step, -(double)found.Minimum / found.Step);
    }

    private (double Scale, double Zero) OfGroup(ReadOnlySpan<double> weights, UniformGrid grid, LayerProblem problem)
    {
        Span<float> values = weights.Length <= 512 ? stackalloc float[weights.Length] : new float[weights.Length];
        for (int i = 0; i < values.Length; i++) values[i] = (float)weights[i];
        GridCandidate found = GridSearch.FindLine(values, grid, options.Start, oneSided: false);
        return (StorageScale.Round(found.Step, problem.ScaleType, problem.ScaleDigits), found.Zero);
    }
}
