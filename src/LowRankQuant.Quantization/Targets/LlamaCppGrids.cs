using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Targets;

/// <summary>The grids that fill llama.cpp's blocks: whose codes and scales take exactly the bits that the block has.</summary>
internal static class LlamaCppGrids
{
    /// <summary>Inputs of the smallest blocks; rows must be a multiple of it.</summary>
    public static int SmallestBlock { get; } = EngineTable.LlamaCpp.InputTile;

    private static readonly int[] GroupSizes = [SmallestBlock, 64];

    /// <summary>
    /// All of them for rows of a length: the two-level grids where rows are a multiple of 256, symmetric groups with a half as scale (Q4_0, Q5_0, Q8_0, Q2_0)
    /// where groups divide them. Empty when no block does.
    /// </summary>
    /// <param name="inFeatures">Columns.</param>
    public static IReadOnlyList<WeightGrid> For(int inFeatures)
    {
        IEnumerable<WeightGrid> groups = GroupSizes.SelectMany(size => Enumerable.Range(UniformGrid.MinBits, UniformGrid.MaxBits - UniformGrid.MinBits + 1)
            .Select(bits => new UniformGrid(bits, true, Granularity.Group, size)));
        return [.. TwoLevelGrid.All.Concat(groups).Where(grid => grid.Divides(inFeatures) && Fills(grid, inFeatures))];
    }

    private static bool Fills(WeightGrid grid, int inFeatures) =>
        GgufFit.Of(grid, inFeatures, ScaleType.Float16) is { Type: not null } fit
        && fit.BitsPerWeight * inFeatures == grid.StoredBits(1, inFeatures, ScaleType.Float16);
}
