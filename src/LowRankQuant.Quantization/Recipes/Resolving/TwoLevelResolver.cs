using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that is about <c>grid</c>: a two-level grid decides bits, groups, symmetry and scale type.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="budget">The budget that decides grids; null for none.</param>
/// <param name="linears">The quantizable weights of a block.</param>
/// <param name="problems">Receives what cannot be run.</param>
internal sealed class TwoLevelResolver(RecipeRequest request, BitBudget? budget, IReadOnlyList<LinearShape> linears, List<string> problems)
{
    /// <summary>The grid that was asked for; null for a uniform one.</summary>
    public TwoLevelGrid? Resolve()
    {
        if (request.Grid is null) return null;
        if (TwoLevelGrid.Find(request.Grid) is not { } grid)
        {
            problems.Add($"`grid` {request.Grid}: unknown; the grids are {Names()}. Uniform grids are made by `bits`, `group_size` and `symmetric`.");
            return null;
        }
        Contradicts("bits", request.Bits is { } bits && bits != grid.Bits, $"{request.Bits}", $"{grid.Bits} bits");
        Contradicts("group_size", request.Granularity is Granularity.Channel or Granularity.Tensor, $"{request.Granularity}".ToLowerInvariant(), $"groups of {grid.GroupSize}");
        Contradicts("group_size", request.GroupSize is { } size && size != grid.GroupSize, $"{request.GroupSize}", $"groups of {grid.GroupSize}");
        Contradicts("symmetric", request.Symmetric is { } symmetric && symmetric != grid.Symmetric, $"{request.Symmetric}".ToLowerInvariant(), grid.Symmetric ? "no minima" : "minima");
        Contradicts("scale_dtype", request.ScaleType is not (null or ScaleType.Float16), "other than fp16", "halves as block scales");
        if (budget is not null) problems.Add("`target_bits` chooses widths of uniform grids by itself; leave out `grid`.");
        // A target says this by itself, with what would fit.
        if (request.Target is null && linears.Where(linear => !grid.Divides(linear.InFeatures)).ToArray() is { Length: > 0 } misfits)
        {
            problems.Add($"`grid` {grid.Name}: rows must be a multiple of {TwoLevelGrid.BlockSize}, and {string.Join(", ", misfits.Select(linear => $"{linear.Name} has {linear.InFeatures}"))}; " +
                "give `target` llama.cpp `on_misfit` nearest for another grid there.");
        }
        return grid;

        void Contradicts(string key, bool does, string value, string has)
        {
            if (does) problems.Add($"`{key}` {value} contradicts `grid` {grid.Name}, which has {has}; leave it out.");
        }
    }

    private static string Names() => string.Join(", ", TwoLevelGrid.All.Select(grid => grid.Name.ToLowerInvariant()));
}
