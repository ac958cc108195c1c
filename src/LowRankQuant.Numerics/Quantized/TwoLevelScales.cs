namespace LowRankQuant.Numerics.Quantized;

/// <summary>The scales and minima of a <see cref="TwoLevelGrid"/> as stored. Blocks and groups run along the inputs of a row.</summary>
/// <param name="BlockScales">d, [outFeatures, in / 256].</param>
/// <param name="GroupScales">sc, [outFeatures, in / groupSize].</param>
/// <param name="BlockMinima">dmin, as the block scales; null when and only when the grid is symmetric.</param>
/// <param name="GroupMinima">m, as the group scales; null when and only when the grid is symmetric.</param>
public sealed record TwoLevelScales(Half[] BlockScales, sbyte[] GroupScales, Half[]? BlockMinima, byte[]? GroupMinima)
{
    /// <summary>d * sc of a group.</summary>
    /// <param name="block">Number of its block.</param>
    /// <param name="group">Its number.</param>
    /// <returns>The product, exact.</returns>
    public float Scale(int block, int group) => (float)BlockScales[block] * GroupScales[group];

    /// <summary>dmin * m of a group; 0 when the grid is symmetric.</summary>
    /// <inheritdoc cref="Scale"/>
    public float Minimum(int block, int group) => BlockMinima is null ? 0 : (float)BlockMinima[block] * GroupMinima![group];

    /// <summary>Checks sizes and ranges against a grid.</summary>
    /// <exception cref="ArgumentException">A length does not fit, an integer is out of range, or a half is NaN or infinite.</exception>
    internal void Check(TwoLevelGrid grid, int outFeatures, int inFeatures)
    {
        long blocks = (long)outFeatures * grid.ScalesPerRow(inFeatures), groups = (long)outFeatures * grid.GroupsPerRow(inFeatures);
        if ((BlockMinima is null) != grid.Symmetric || (GroupMinima is null) != grid.Symmetric)
            throw new ArgumentException($"Minima belong to asymmetric grids, and only to them; this is {grid}.", nameof(grid));
        Check("block scales", BlockScales, blocks);
        if (BlockMinima is not null) Check("block minima", BlockMinima, blocks);
        if (GroupScales.LongLength != groups) throw new ArgumentException($"{GroupScales.LongLength} group scales where {grid} asks for {groups}.", nameof(grid));
        if (GroupScales.AsSpan().ContainsAnyExceptInRange((sbyte)grid.MinScale, (sbyte)grid.MaxScale))
            throw new ArgumentException($"A group scale of {grid} is not in {grid.MinScale}..{grid.MaxScale}.", nameof(grid));
        if (GroupMinima is null) return;
        if (GroupMinima.LongLength != groups) throw new ArgumentException($"{GroupMinima.LongLength} group minima where {grid} asks for {groups}.", nameof(grid));
        if (GroupMinima.AsSpan().ContainsAnyExceptInRange((byte)0, (byte)grid.MaxMinimum))
            throw new ArgumentException($"A group minimum of {grid} exceeds {grid.MaxMinimum}.", nameof(grid));

        void Check(string what, Half[] values, long count)
        {
            if (values.LongLength != count) throw new ArgumentException($"{values.LongLength} {what} where {grid} asks for {count}.", nameof(grid));
            foreach (Half value in values)
            {
                if (!Half.IsFinite(value)) throw new ArgumentException($"One of the {what} is {value}; they must be finite.", nameof(grid));
            }
        }
    }
}
