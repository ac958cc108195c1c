using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>The same weight as a container stores it: every code stays, scales and zero points are repeated or put in another type without change.</summary>
internal static class StoredGrid
{
    /// <summary>Whether every scale is a value of the type.</summary>
    public static bool Fits(UniformWeight weight, ScaleType type) => Array.TrueForAll(weight.Scales, scale => StorageScale.RoundAny(scale, type) == scale);

    /// <summary>The largest of some group sizes that divides what shares one scale, so that scales can be repeated; 0 when none does.</summary>
    public static int GroupSize(int effectiveGroup, IEnumerable<int> sizes) => sizes.Where(size => effectiveGroup % size == 0).DefaultIfEmpty(0).Max();

    /// <summary>Puts a weight on a finer grid of the same width, and its scales in a type that holds them.</summary>
    /// <param name="weight">The weight, without a branch.</param>
    /// <param name="grid">
    /// A grid of the same width whose groups divide those of the weight; asymmetric or symmetric like the weight, or asymmetric where it is symmetric.
    /// </param>
    /// <param name="type">Type of the scales.</param>
    public static UniformWeight Put(UniformWeight weight, UniformGrid grid, ScaleType type)
    {
        int rows = weight.OutFeatures, columns = weight.InFeatures, groups = grid.GroupsPerRow(columns), size = columns / groups;
        int stored = weight.Grid.GroupsPerRow(columns);
        var scales = new float[rows * groups];
        byte[]? zeros = grid.Symmetric ? null : new byte[scales.Length];
        for (int i = 0; i < scales.Length; i++)
        {
            int row = i / groups, group = i % groups * size / weight.EffectiveGroupSize;
            int from = weight.Grid.Granularity == Granularity.Tensor ? 0 : (row * stored) + group;
            scales[i] = weight.Scales[from];
            if (zeros is not null) zeros[i] = weight.ZeroPoints is { } points ? points[from] : (byte)weight.Grid.SymmetricZero;
        }
        return new UniformWeight(rows, columns, grid, weight.Codes, scales, zeros, type);
    }
}
