namespace LowRankQuant.Numerics.Quantized;

/// <summary>A weight on an <see cref="AffineGrid"/>: codes, and a scale and a minimum per group as stored.</summary>
public sealed class AffineWeight : QuantizedWeight
{
    /// <summary>Creates a quantized weight and checks that every part has the size its grid asks for.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns, a multiple of the group size.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="codes">Unsigned codes 0..2^bits-1, row-major [outFeatures, inFeatures].</param>
    /// <param name="scales">Scales as stored (already rounded to <paramref name="scaleType"/>), [outFeatures, groups]; not 0.</param>
    /// <param name="minima">Values of code 0 as stored, shaped as the scales.</param>
    /// <param name="scaleType">The stored type of scales and minima.</param>
    /// <param name="branch">Low-rank branch added to the dequantized weight, or null.</param>
    /// <exception cref="ArgumentException">
    /// A length does not fit, a code is out of range, a scale is zero, NaN or infinite, a minimum is NaN or infinite, or one of either is no value of the type.
    /// </exception>
    public AffineWeight(int outFeatures, int inFeatures, AffineGrid grid, byte[] codes, float[] scales, float[] minima, ScaleType scaleType, LowRankBranch? branch = null)
        : base(outFeatures, inFeatures, grid, codes, branch)
    {
        long groups = (long)outFeatures * grid.GroupsPerRow(inFeatures);
        Check("scale", scales, nameof(scales), mayBeZero: false);
        Check("minimum", minima, nameof(minima), mayBeZero: true);
        Grid = grid;
        Scales = scales;
        Minima = minima;
        ScaleType = scaleType;

        void Check(string what, float[] values, string parameter, bool mayBeZero)
        {
            if (values.LongLength != groups) throw new ArgumentException($"{values.LongLength} numbers as a {what} where {grid} asks for {groups}.", parameter);
            foreach (float value in values)
            {
                if (!float.IsFinite(value) || (value == 0 && !mayBeZero)) throw new ArgumentException($"A {what} is {value}; it must be finite{(mayBeZero ? "" : " and not zero")}.", parameter);
                if (StorageScale.RoundAny(value, scaleType) != value) throw new ArgumentException($"The {what} {value:R} is not a {scaleType} value.", parameter);
            }
        }
    }

    /// <inheritdoc/>
    public override AffineGrid Grid { get; }

    /// <inheritdoc/>
    public override ScaleType ScaleType { get; }

    /// <summary>Scales as stored, [out, groups].</summary>
    public float[] Scales { get; }

    /// <summary>Minima as stored, the values of code 0, [out, groups].</summary>
    public float[] Minima { get; }

    /// <inheritdoc/>
    public override CodeRange RangeOf(int row, int group)
    {
        int at = (row * Grid.GroupsPerRow(InFeatures)) + group;
        return CodeRange.Even(Minima[at], Minima[at] + (Grid.MaxCode * (double)Scales[at]), Scales[at]);
    }

    /// <inheritdoc/>
    public override AffineWeight WithBranch(LowRankBranch? branch) => new(OutFeatures, InFeatures, Grid, Codes, Scales, Minima, ScaleType, branch);

    /// <inheritdoc/>
    public override AffineWeight SelectRows(int count, Func<int, int> rowOf) => new(
        count, InFeatures, Grid, Rows(Codes, OutFeatures, count, rowOf), Rows(Scales, OutFeatures, count, rowOf), Rows(Minima, OutFeatures, count, rowOf), ScaleType);

    /// <inheritdoc/>
    public override AffineWeight? SelectColumns(int[] columnOf) => Groups(columnOf, Grid.GroupSize) is { } groups
        ? new AffineWeight(OutFeatures, InFeatures, Grid, Columns(Codes, columnOf), Columns(Scales, groups), Columns(Minima, groups), ScaleType)
        : null;

    /// <inheritdoc/>
    public override AffineWeight? ScaleRows(Func<int, float> factorOf)
    {
        int groups = Grid.GroupsPerRow(InFeatures);
        return Scaled(Scales) is { } scales && Scaled(Minima) is { } minima ? new AffineWeight(OutFeatures, InFeatures, Grid, Codes, scales, minima, ScaleType) : null;

        float[]? Scaled(float[] values)
        {
            var scaled = new float[values.Length];
            for (int i = 0; i < values.Length; i++)
            {
                double exact = (double)values[i] * factorOf(i / groups);
                scaled[i] = StorageScale.RoundAny((float)exact, ScaleType);
                if (scaled[i] != exact) return null;
            }
            return scaled;
        }
    }

    /// <summary>The same weight in smaller groups, each with the scale and minimum of the one it was part of.</summary>
    /// <param name="groupSize">Inputs of a group; divides the present ones.</param>
    /// <exception cref="ArgumentException">The size does not divide the groups.</exception>
    public AffineWeight InGroupsOf(int groupSize)
    {
        if (groupSize < 1 || Grid.GroupSize % groupSize != 0) throw new ArgumentException($"Groups of {groupSize} do not divide those of {Grid}.", nameof(groupSize));
        int times = Grid.GroupSize / groupSize;
        return times == 1 ? this : new AffineWeight(OutFeatures, InFeatures, new AffineGrid(Grid.Bits, groupSize), Codes, Repeated(Scales), Repeated(Minima), ScaleType, Branch);

        float[] Repeated(float[] values)
        {
            var repeated = new float[(long)values.Length * times];
            for (int i = 0; i < values.Length; i++) repeated.AsSpan(i * times, times).Fill(values[i]);
            return repeated;
        }
    }

    private protected override AffineWeight Join(int rows, IReadOnlyList<(QuantizedWeight Weight, Func<int, int> RowOf)> parts) => new(
        rows, InFeatures, Grid, Scatter(rows, parts, part => part.Codes), Scatter(rows, parts, part => ((AffineWeight)part).Scales),
        Scatter(rows, parts, part => ((AffineWeight)part).Minima), ScaleType);

    private protected override void WriteValues(Span<float> destination)
    {
        int size = Grid.GroupSize;
        for (int group = 0; group < Scales.Length; group++)
        {
            float scale = Scales[group], minimum = Minima[group];
            ReadOnlySpan<byte> codes = Codes.AsSpan(group * size, size);
            Span<float> values = destination.Slice(group * size, size);
            for (int i = 0; i < size; i++) values[i] = (scale * codes[i]) + minimum;
        }
    }
}
