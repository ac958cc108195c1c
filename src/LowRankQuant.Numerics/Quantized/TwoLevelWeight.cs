namespace LowRankQuant.Numerics.Quantized;

/// <summary>A weight on a <see cref="TwoLevelGrid"/>: what a K block holds, field by field, nothing rounded.</summary>
public sealed class TwoLevelWeight : QuantizedWeight
{
    /// <summary>Creates a quantized weight and checks that every part has the size its grid asks for.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns, a multiple of 256.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="codes">Unsigned codes 0..2^bits-1, row-major [outFeatures, inFeatures]; 2^(bits-1) is 0 on a symmetric grid.</param>
    /// <param name="scales">Scales and minima as stored.</param>
    /// <param name="branch">Low-rank branch added to the dequantized weight, or null.</param>
    /// <exception cref="ArgumentException">A length does not fit, a code or an integer is out of range, or a half is NaN or infinite.</exception>
    public TwoLevelWeight(int outFeatures, int inFeatures, TwoLevelGrid grid, byte[] codes, TwoLevelScales scales, LowRankBranch? branch = null)
        : base(outFeatures, inFeatures, grid, codes, branch)
    {
        scales.Check(grid, outFeatures, inFeatures);
        Grid = grid;
        Scales = scales;
    }

    /// <inheritdoc/>
    public override TwoLevelGrid Grid { get; }

    /// <summary>Always halves: the type of d and dmin.</summary>
    public override ScaleType ScaleType => ScaleType.Float16;

    /// <summary>Scales and minima as stored.</summary>
    public TwoLevelScales Scales { get; }

    /// <inheritdoc/>
    public override CodeRange RangeOf(int row, int group)
    {
        int at = (row * Grid.GroupsPerRow(InFeatures)) + group, block = at / Grid.GroupsPerBlock, zero = Grid.Symmetric ? Grid.SymmetricZero : 0;
        double scale = Scales.Scale(block, at), minimum = Grid.Symmetric ? 0 : Scales.Minimum(block, at);
        return CodeRange.Even((-zero * scale) - minimum, ((Grid.MaxCode - zero) * scale) - minimum, scale);
    }

    /// <inheritdoc/>
    public override TwoLevelWeight WithBranch(LowRankBranch? branch) => new(OutFeatures, InFeatures, Grid, Codes, Scales, branch);

    /// <inheritdoc/>
    public override TwoLevelWeight SelectRows(int count, Func<int, int> rowOf) => new(
        count, InFeatures, Grid, Rows(Codes, OutFeatures, count, rowOf), new TwoLevelScales(
            Rows(Scales.BlockScales, OutFeatures, count, rowOf), Rows(Scales.GroupScales, OutFeatures, count, rowOf),
            Scales.BlockMinima is null ? null : Rows(Scales.BlockMinima, OutFeatures, count, rowOf),
            Scales.GroupMinima is null ? null : Rows(Scales.GroupMinima, OutFeatures, count, rowOf)));

    /// <inheritdoc/>
    public override TwoLevelWeight? SelectColumns(int[] columnOf)
    {
        if (Groups(columnOf, TwoLevelGrid.BlockSize) is not { } blocks || Groups(columnOf, Grid.GroupSize) is not { } groups) return null;
        return new TwoLevelWeight(
            OutFeatures, InFeatures, Grid, Columns(Codes, columnOf), new TwoLevelScales(
                Columns(Scales.BlockScales, blocks), Columns(Scales.GroupScales, groups), Scales.BlockMinima is null ? null : Columns(Scales.BlockMinima, blocks),
                Scales.GroupMinima is null ? null : Columns(Scales.GroupMinima, groups)));
    }

    /// <inheritdoc/>
    public override TwoLevelWeight? ScaleRows(Func<int, float> factorOf)
    {
        Half[] scales = [.. Scales.BlockScales], minima = [.. Scales.BlockMinima ?? []];
        return Scaled(scales) && Scaled(minima)
            ? new TwoLevelWeight(OutFeatures, InFeatures, Grid, Codes, Scales with { BlockScales = scales, BlockMinima = Scales.BlockMinima is null ? null : minima })
            : null;

        bool Scaled(Half[] values)
        {
            int perRow = values.Length / OutFeatures;
            for (int i = 0; i < values.Length; i++)
            {
                double exact = (double)values[i] * factorOf(i / perRow);
                values[i] = (Half)exact;
                if ((double)values[i] != exact) return false;
            }
            return true;
        }
    }

    private protected override TwoLevelWeight Join(int rows, IReadOnlyList<(QuantizedWeight Weight, Func<int, int> RowOf)> parts) => new(
        rows, InFeatures, Grid, Scatter(rows, parts, part => part.Codes), new TwoLevelScales(
            Scatter(rows, parts, part => ((TwoLevelWeight)part).Scales.BlockScales), Scatter(rows, parts, part => ((TwoLevelWeight)part).Scales.GroupScales),
            Scales.BlockMinima is null ? null : Scatter(rows, parts, part => ((TwoLevelWeight)part).Scales.BlockMinima!),
            Scales.GroupMinima is null ? null : Scatter(rows, parts, part => ((TwoLevelWeight)part).Scales.GroupMinima!)));

    private protected override void WriteValues(Span<float> destination)
    {
        int size = Grid.GroupSize, groups = OutFeatures * Grid.GroupsPerRow(InFeatures), zero = Grid.Symmetric ? Grid.SymmetricZero : 0;
        for (int group = 0; group < groups; group++)
        {
            int block = group / Grid.GroupsPerBlock;
            float scale = Scales.Scale(block, group), minimum = Scales.Minimum(block, group);
            ReadOnlySpan<byte> codes = Codes.AsSpan(group * size, size);
            Span<float> values = destination.Slice(group * size, size);
            if (Grid.Symmetric)
            {
                for (int i = 0; i < size; i++) values[i] = scale * (codes[i] - zero);
            }
            else
            {
                for (int i = 0; i < size; i++) values[i] = (scale * codes[i]) - minimum;
            }
        }
    }
}
