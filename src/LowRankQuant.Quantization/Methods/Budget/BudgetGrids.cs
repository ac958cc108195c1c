using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>The grids that a budget may give a layer.</summary>
internal static class BudgetGrids
{
    /// <summary>
    /// The usual grid alone where widths are fixed; for llama.cpp everything that its blocks hold without waste (<see cref="LlamaCppGrids"/>); else the usual
    /// grid with 2 to 8 bits.
    /// </summary>
    /// <param name="usual">The layer's grid without a budget.</param>
    /// <param name="choosesGrids">Whether grids may change.</param>
    /// <param name="engine">The target; null for none.</param>
    /// <param name="inFeatures">Columns of the layer.</param>
    public static IReadOnlyList<WeightGrid> For(WeightGrid usual, bool choosesGrids, Target? engine, int inFeatures)
    {
        if (!choosesGrids) return [usual];
        if (engine == Target.LlamaCpp) return LlamaCppGrids.For(inFeatures);
        return [.. Enumerable.Range(UniformGrid.MinBits, UniformGrid.MaxBits - UniformGrid.MinBits + 1).Select(bits => (UniformGrid)usual with { Bits = bits })];
    }
}
