using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that is about <c>grid</c>: a grid with a name decides bits, groups, symmetry and, of llama.cpp's blocks, the type of scales.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="budget">The budget that decides grids; null for none.</param>
/// <param name="linears">The quantizable weights of a block.</param>
/// <param name="problems">Receives what cannot be run.</param>
internal sealed class NamedGridResolver(RecipeRequest request, BitBudget? budget, IReadOnlyList<LinearShape> linears, List<string> problems)
{
    /// <summary>The grid that was asked for; null for a uniform one.</summary>
    public WeightGrid? Resolve()
    {
        if (request.Grid is null) return null;
        if (NamedGrids.Find(request.Grid) is not { } grid)
        {
            problems.Add($"`grid` {request.Grid}: unknown; the grids are {NamedGrids.Names}. Uniform grids are made by `bits`, `group_size` and `symmetric`.");
            return null;
        }
        string name = NamedGrids.NameOf(grid)!;
        (Granularity granularity, int groupSize) = NamedGrids.GroupsOf(grid);
        string groups = granularity == Granularity.Group ? $"groups of {groupSize}" : "whole rows";
        Contradicts("bits", request.Bits is { } bits && bits != grid.Bits, $"{request.Bits}", $"{grid.Bits} bits");
        Contradicts("group_size", request.Granularity is { } asked && asked != granularity, $"{request.Granularity}".ToLowerInvariant(), groups);
        Contradicts("group_size", request.GroupSize is { } size && size != groupSize, $"{request.GroupSize}", groups);
        Contradicts("symmetric", request.Symmetric is { } symmetric && symmetric != grid.Symmetric, $"{request.Symmetric}".ToLowerInvariant(), grid is FloatGrid ? "no zero points" : grid.Symmetric ? "no minima" : "minima");
        Contradicts("zeros", request.Zeros is { } zeros && (zeros == ZeroKind.Float) != grid is AffineGrid, $"{request.Zeros}".ToLowerInvariant(), grid is AffineGrid ? "float minima" : grid is FloatGrid or { Symmetric: true } ? "none" : "minima of two levels");
        if (AffineGrid.OfBlock(request.Grid) is not null) Contradicts("scale_dtype", request.ScaleType is not (null or ScaleType.Float16), "other than fp16", "halves as scales and minima");
        if (grid is TwoLevelGrid) Contradicts("scale_dtype", request.ScaleType is not (null or ScaleType.Float16), "other than fp16", "halves as block scales");
        if (grid is FloatGrid { HasByteScales: true }) Contradicts("scale_dtype", request.ScaleType is not null, "", "bytes as scales");
        if (budget is not null) problems.Add("`target_bits` chooses widths of uniform grids by itself; leave out `grid`.");
        // A target says this by itself, with what would fit.
        if (request.Target is null && linears.Where(linear => !grid.Divides(linear.InFeatures)).ToArray() is { Length: > 0 } misfits)
        {
            int multiple = grid is TwoLevelGrid ? TwoLevelGrid.BlockSize : groupSize;
            problems.Add($"`grid` {name}: rows must be a multiple of {multiple}, and {string.Join(", ", misfits.Select(linear => $"{linear.Name} has {linear.InFeatures}"))}; " +
                (grid is TwoLevelGrid ? "give `target` llama.cpp `on_misfit` nearest for another grid there." : "give those another grid by `layers`."));
        }
        return grid;

        void Contradicts(string key, bool does, string value, string has)
        {
            if (does) problems.Add($"`{key}` {value} contradicts `grid` {name}, which has {has}; leave it out.");
        }
    }
}
