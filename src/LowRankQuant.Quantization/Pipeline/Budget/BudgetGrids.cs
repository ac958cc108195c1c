using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Quantization.Pipeline.Budget;

/// <summary>The grids that a budget may give a layer.</summary>
internal static class BudgetGrids
{
    /// <summary>
    /// The usual grid alone where widths are fixed; for llama.cpp everything that its blocks hold without waste (<see cref="LlamaCppGrids"/>); else the usual
    /// grid with 2 to 8 bits.
    /// </summary>
    /// <param name="usual">The layer's grid without a budget.</param>
    /// <param name="widths">Whether widths may change.</param>
    /// <param name="engine">The target; null for none.</param>
    /// <param name="inFeatures">Columns of the layer.</param>
    public static IReadOnlyList<WeightGrid> For(WeightGrid usual, BudgetWidths widths, Target? engine, int inFeatures)
    {
        if (widths == BudgetWidths.Fixed) return [usual];
        if (engine == Target.LlamaCpp) return LlamaCppGrids.For(inFeatures);
        return [.. Enumerable.Range(UniformGrid.MinBits, UniformGrid.MaxBits - UniformGrid.MinBits + 1).Select(bits => (UniformGrid)usual with { Bits = bits })];
    }

    /// <summary>Whether a request lets its budget choose among llama.cpp's blocks, which then decide widths, groups and symmetry.</summary>
    public static bool AreBlocks(RecipeRequest request) =>
        request is { Target: Target.LlamaCpp, Correction: { TargetBits: not null, Widths: not BudgetWidths.Fixed } };
}
