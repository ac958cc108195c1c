namespace LowRankQuant.Numerics.Quantized;

/// <summary>A weight on a <see cref="UniformGrid"/>. Value of element (r, c): (code - zero) * scale, with the scale and zero point of its group.</summary>
public sealed class UniformWeight : QuantizedWeight
{
    /// <summary>Creates a quantized weight and checks that every part has the size its grid asks for.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The integer grid.</param>
    /// <param name="codes">Unsigned codes 0..2^bits-1, row-major [outFeatures, inFeatures].</param>
    /// <param name="scales">Scales as stored (already rounded to <paramref name="scaleType"/>), [outFeatures, groups] or one element.</param>
    /// <param name="zeroPoints">Unsigned zero points 0..2^bits-1, shaped as the scales; null when and only when the grid is symmetric.</param>
    /// <param name="scaleType">The stored type of the scales.</param>
    /// <param name="branch">Low-rank branch added to the dequantized weight, or null.</param>
    /// <exception cref="ArgumentException">A length does not fit, a code or zero point is out of range, or a scale is zero, NaN or infinite.</exception>
    public UniformWeight(
        int outFeatures, int inFeatures, UniformGrid grid, byte[] codes, float[] scales, byte[]? zeroPoints, ScaleType scaleType, LowRankBranch? branch = null)
        : base(outFeatures, inFeatures, grid, codes, branch)
    {
        long scaleCount = grid.ScaleCount(outFeatures, inFeatures);
        if (scales.LongLength != scaleCount) throw new ArgumentException($"{scales.LongLength} scales where {grid} asks for {scaleCount}.", nameof(scales));
        if ((zeroPoints is null) != grid.Symmetric) throw new ArgumentException("Zero points belong to asymmetric grids, and only to them.", nameof(zeroPoints));
        if (zeroPoints is not null && zeroPoints.LongLength != scaleCount) throw new ArgumentException($"{zeroPoints.LongLength} zero points for {scaleCount} scales.", nameof(zeroPoints));
        if (grid.Bits < 8 && zeroPoints is not null && zeroPoints.AsSpan().ContainsAnyExceptInRange((byte)0, (byte)grid.MaxCode))
            throw new ArgumentException($"A zero point exceeds {grid.MaxCode}.", nameof(zeroPoints));
        foreach (float scale in scales)
        {
            if (!float.IsFinite(scale) || scale == 0) throw new ArgumentException($"A scale is {scale}; scales must be finite and not zero.", nameof(scales));
            if (StorageScale.RoundAny(scale, scaleType) != scale) throw new ArgumentException($"Scale {scale:R} is not a {scaleType} value.", nameof(scales));
        }
        Grid = grid;
        Scales = scales;
        ZeroPoints = zeroPoints;
        ScaleType = scaleType;
    }

    /// <inheritdoc/>
    public override UniformGrid Grid { get; }

    /// <inheritdoc/>
    public override ScaleType ScaleType { get; }

    /// <summary>Scales as stored, [out, groups] or one element.</summary>
    public float[] Scales { get; }

    /// <summary>Unsigned zero points shaped as the scales; null when symmetric.</summary>
    public byte[]? ZeroPoints { get; }

    /// <summary>Inputs that share one scale within a row.</summary>
    public int EffectiveGroupSize => Grid.Granularity == Granularity.Group ? Grid.GroupSize : InFeatures;

    /// <summary>Scale and zero point of a group of a row.</summary>
    internal (float Scale, int Zero) GroupOf(int row, int group)
    {
        int at = Grid.Granularity == Granularity.Tensor ? 0 : (row * Grid.GroupsPerRow(InFeatures)) + group;
        return (Scales[at], ZeroPoints is null ? Grid.SymmetricZero : ZeroPoints[at]);
    }

    /// <inheritdoc/>
    public override CodeRange RangeOf(int row, int group)
    {
        (float scale, int zero) = GroupOf(row, group);
        return CodeRange.Even(-zero * (double)scale, (Grid.MaxCode - zero) * (double)scale, scale);
    }

    /// <inheritdoc/>
    public override UniformWeight WithBranch(LowRankBranch? branch) => new(OutFeatures, InFeatures, Grid, Codes, Scales, ZeroPoints, ScaleType, branch);

    /// <inheritdoc/>
    public override UniformWeight SelectRows(int count, Func<int, int> rowOf)
    {
        bool one = Grid.Granularity == Granularity.Tensor;
        return new UniformWeight(
            count, InFeatures, Grid, Rows(Codes, OutFeatures, count, rowOf), one ? Scales : Rows(Scales, OutFeatures, count, rowOf),
            one || ZeroPoints is null ? ZeroPoints : Rows(ZeroPoints, OutFeatures, count, rowOf), ScaleType);
    }

    /// <inheritdoc/>
    public override UniformWeight? SelectColumns(int[] columnOf)
    {
        byte[] codes = Columns(Codes, columnOf);
        if (Grid.Granularity != Granularity.Group) return new UniformWeight(OutFeatures, InFeatures, Grid, codes, Scales, ZeroPoints, ScaleType);
        return Groups(columnOf, Grid.GroupSize) is { } groups
            ? new UniformWeight(OutFeatures, InFeatures, Grid, codes, Columns(Scales, groups), ZeroPoints is null ? null : Columns(ZeroPoints, groups), ScaleType)
            : null;
    }

    /// <inheritdoc/>
    public override UniformWeight? ScaleRows(Func<int, float> factorOf)
    {
        bool one = Grid.Granularity == Granularity.Tensor;
        int groups = one ? 1 : Grid.GroupsPerRow(InFeatures);
        float first = factorOf(0);
        var scales = new float[Scales.Length];
        for (int row = 0; row < OutFeatures; row++)
        {
            float factor = factorOf(row);
            if (one && factor != first) return null;
            for (int group = 0; group < groups; group++)
            {
                int at = one ? group : (row * groups) + group;
                double exact = (double)Scales[at] * factor;
                scales[at] = StorageScale.RoundAny((float)exact, ScaleType);
                if (scales[at] != exact) return null;
            }
        }
        return new UniformWeight(OutFeatures, InFeatures, Grid, Codes, scales, ZeroPoints, ScaleType);
    }

    private protected override UniformWeight Join(int rows, IReadOnlyList<(QuantizedWeight Weight, Func<int, int> RowOf)> parts) => new(
        rows, InFeatures, Grid, Scatter(rows, parts, part => part.Codes), Scatter(rows, parts, part => ((UniformWeight)part).Scales),
        ZeroPoints is null ? null : Scatter(rows, parts, part => ((UniformWeight)part).ZeroPoints!), ScaleType);

    private protected override void WriteValues(Span<float> destination)
    {
        int groups = Grid.GroupsPerRow(InFeatures), size = EffectiveGroupSize;
        for (int row = 0; row < OutFeatures; row++)
        {
            for (int group = 0; group < groups; group++)
            {
                int s = Grid.Granularity == Granularity.Tensor ? 0 : (row * groups) + group;
                float scale = Scales[s];
                int zero = ZeroPoints is null ? Grid.SymmetricZero : ZeroPoints[s];
                int start = (row * InFeatures) + (group * size);
                for (int i = start; i < start + size; i++) destination[i] = (Codes[i] - zero) * scale;
            }
        }
    }
}
