namespace LowRankQuant.Numerics.Quantized;

/// <summary>A weight on a <see cref="FloatGrid"/>: codes and scales as they are stored. Value of an element: code * (scale / divisor), rounded once to a 32-bit float.</summary>
public sealed class FloatWeight : QuantizedWeight
{
    /// <summary>Creates a quantized weight and checks that every part has the size its grid asks for.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="codes">Bits of the floats, one code a byte, row-major [outFeatures, inFeatures].</param>
    /// <param name="scales">Scales as stored, [scale rows, groups].</param>
    /// <param name="scaleType">Stored type of the scales where they are 16 or 32-bit floats.</param>
    /// <param name="divisor">What all scales are divided by; 1 but for <see cref="FloatScaling.Float8"/>.</param>
    /// <param name="branch">Low-rank branch added to the dequantized weight, or null.</param>
    /// <exception cref="ArgumentException">A length does not fit, a code stands for no number, or a scale is not finite or none that the grid can store.</exception>
    public FloatWeight(
        int outFeatures, int inFeatures, FloatGrid grid, byte[] codes, float[] scales, ScaleType scaleType, float divisor = 1, LowRankBranch? branch = null)
        : base(outFeatures, inFeatures, grid, codes, branch)
    {
        int count = grid.ScaleRows(outFeatures) * grid.GroupsPerRow(inFeatures);
        if (scales.Length != count) throw new ArgumentException($"{scales.Length} scales where {grid} asks for {count}.", nameof(scales));
        foreach (float scale in scales)
        {
            if (!float.IsFinite(scale)) throw new ArgumentException($"A scale is {scale}; scales must be finite.", nameof(scales));
            if (!IsStorable(scale, grid.Scaling, scaleType)) throw new ArgumentException($"Scale {scale:R} is none that {grid} stores.", nameof(scales));
        }
        if (!float.IsFinite(divisor) || divisor == 0) throw new ArgumentException($"Scales cannot be divided by {divisor}.", nameof(divisor));
        if (divisor != 1 && grid.Scaling != FloatScaling.Float8) throw new ArgumentException($"{grid} has no scale of the matrix.", nameof(divisor));
        foreach (byte code in codes)
        {
            if (float.IsNaN(grid.Codes.Values[code])) throw new ArgumentException($"Code {code} stands for no number.", nameof(codes));
        }
        (Grid, Scales, ScaleType, Divisor) = (grid, scales, grid.HasByteScales ? ScaleType.Float32 : scaleType, divisor);
    }

    /// <inheritdoc/>
    public override FloatGrid Grid { get; }

    /// <summary>Stored type of scales that are 16 or 32-bit floats; of bytes the type that holds what they stand for.</summary>
    public override ScaleType ScaleType { get; }

    /// <summary>Scales as stored, [scale rows, groups].</summary>
    public float[] Scales { get; }

    /// <summary>What all scales are divided by.</summary>
    public float Divisor { get; }

    /// <summary>What the codes of a row and group are multiplied by.</summary>
    public double ScaleOf(int row, int group) => Scales[(row / Grid.GroupRows * Grid.GroupsPerRow(InFeatures)) + group] / (double)Divisor;

    /// <inheritdoc/>
    public override CodeRange RangeOf(int row, int group)
    {
        double scale = Math.Abs(ScaleOf(row, group)), end = Grid.Codes.Largest * scale, step = Grid.Codes.LargestStep * scale;
        return new CodeRange(-end, step, end, step);
    }

    /// <inheritdoc/>
    public override FloatWeight WithBranch(LowRankBranch? branch) => new(OutFeatures, InFeatures, Grid, Codes, Scales, ScaleType, Divisor, branch);

    /// <inheritdoc/>
    public override bool HasRowsApart => Grid.GroupRows == 1;

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">Rows share scales in blocks.</exception>
    public override FloatWeight SelectRows(int count, Func<int, int> rowOf) => Grid.GroupRows == 1
        ? new FloatWeight(count, InFeatures, Grid, Rows(Codes, OutFeatures, count, rowOf), Rows(Scales, OutFeatures, count, rowOf), ScaleType, Divisor)
        : throw new InvalidOperationException($"Rows of {Grid} share scales, so that none can be taken alone.");

    /// <inheritdoc/>
    public override FloatWeight? SelectColumns(int[] columnOf)
    {
        byte[] codes = Columns(Codes, columnOf);
        if (Grid.GroupSize == 0) return new FloatWeight(OutFeatures, InFeatures, Grid, codes, Scales, ScaleType, Divisor);
        return Groups(columnOf, Grid.GroupSize) is { } groups ? new FloatWeight(OutFeatures, InFeatures, Grid, codes, Columns(Scales, groups), ScaleType, Divisor) : null;
    }

    /// <inheritdoc/>
    public override FloatWeight? ScaleRows(Func<int, float> factorOf)
    {
        int groups = Grid.GroupsPerRow(InFeatures);
        var scales = new float[Scales.Length];
        for (int row = 0; row < OutFeatures; row++)
        {
            float factor = factorOf(row);
            if (factor != factorOf(row / Grid.GroupRows * Grid.GroupRows)) return null;
            for (int at = row / Grid.GroupRows * groups, end = at + groups; at < end; at++)
            {
                double exact = (double)Scales[at] * factor;
                scales[at] = (float)exact;
                if (scales[at] != exact || !IsStorable(scales[at], Grid.Scaling, ScaleType)) return null;
            }
        }
        return new FloatWeight(OutFeatures, InFeatures, Grid, Codes, scales, ScaleType, Divisor);
    }

    private protected override FloatWeight Join(int rows, IReadOnlyList<(QuantizedWeight Weight, Func<int, int> RowOf)> parts) => new(
        rows, InFeatures, Grid, Scatter(rows, parts, part => part.Codes), Scatter(rows, parts, part => ((FloatWeight)part).Scales), ScaleType);

    private protected override void WriteValues(Span<float> destination)
    {
        int groups = Grid.GroupsPerRow(InFeatures), size = InFeatures / groups;
        ReadOnlySpan<float> levels = Grid.Codes.Values;
        for (int row = 0; row < OutFeatures; row++)
        {
            for (int group = 0; group < groups; group++)
            {
                double scale = ScaleOf(row, group);
                int start = (row * InFeatures) + (group * size);
                for (int i = start; i < start + size; i++) destination[i] = (float)(levels[Codes[i]] * scale);
            }
        }
    }

    private static bool IsStorable(float scale, FloatScaling scaling, ScaleType type) => scaling switch
    {
        FloatScaling.PowerOfTwo => scale == FloatScale.PowerOfTwo(FloatScale.ExponentByte(scale)),
        FloatScaling.Float8 => SmallFloat.E4M3.Round(scale) == scale,
        _ => scale != 0 && StorageScale.RoundAny(scale, type) == scale,
    };
}
