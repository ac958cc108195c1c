using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>Reads the blocks of a tensor as a quantized weight, the inverse of <see cref="GgufBlockEncoder"/>: no float is rounded.</summary>
/// <remarks>
/// | blocks | weight |
/// | --- | --- |
/// | Q4_0, Q5_0, Q8_0, Q2_0 | symmetric, a group a block |
/// | Q4_1, Q5_1 | asymmetric, a group a block, where every minimum is -d z with z in 0..2^bits-1; else affine |
/// | K types | uniform of a group a block where all integer scales are 1 and, with minima, dmin = d and all integers of a block are one zero point; else two-level |
/// Neighbouring blocks of a row that share scale and zero point in every row are one group again, a whole row is a channel. A block whose d is 0 has
/// zeros only, or its minimum: it gets the code of that and the smallest normal half as its scale, since no scale of a grid is 0. Codes keep the width of the block,
/// which may be wider than that of the grid that was laid into it.
/// </remarks>
public static class GgufBlockDecoder
{
    private static readonly float SmallestHalf = MathF.ScaleB(1, -14);

    /// <summary>Reads a tensor.</summary>
    /// <param name="file">The file.</param>
    /// <param name="tensor">Tensor in the file.</param>
    /// <param name="modelRow">The model's row of every row of the file; null where they are the same.</param>
    /// <returns>The weight; null for a tensor that is no matrix or is of a type without integer codes.</returns>
    /// <exception cref="CheckpointFormatException">No such tensor, one too large for memory, or a half that is NaN or infinite.</exception>
    public static QuantizedWeight? Read(GgufFile file, string tensor, Func<int, int>? modelRow = null)
    {
        IReadOnlyList<long> shape = file.ShapeOf(tensor);
        return shape.Count == 2 ? Read(file, tensor, 0, shape[0], modelRow) : null;
    }

    /// <summary>Reads rows of a tensor whose matrices lie one behind the other.</summary>
    /// <param name="file">The file.</param>
    /// <param name="tensor">Tensor in the file, of two dimensions or more.</param>
    /// <param name="firstRow">The first row, counted over all matrices.</param>
    /// <param name="rows">How many.</param>
    /// <param name="modelRow">The model's row of every row read, both counted from the first; null where they are the same.</param>
    /// <returns>As <see cref="Read(GgufFile, string, Func{int, int}?)"/>.</returns>
    /// <exception cref="CheckpointFormatException">As there.</exception>
    public static QuantizedWeight? Read(GgufFile file, string tensor, long firstRow, long rows, Func<int, int>? modelRow = null)
    {
        if (file.ShapeOf(tensor).Count < 2 || BlockFormat.Find(file.Tensors[tensor].Type) is not { } format) return null;
        BlockMatrix blocks = BlockMatrix.Read(file, tensor, format, firstRow, rows, modelRow);
        int[]? zeros = ZeroPoints(blocks);
        if (zeros is not null) return Uniform(blocks, zeros);
        return format.SubBlocks > 0 ? TwoLevel(blocks) : Affine(blocks);
    }

    /// <summary>The zero point of every block; null when the blocks hold another grid than a uniform one.</summary>
    private static int[]? ZeroPoints(BlockMatrix blocks)
    {
        BlockFormat format = blocks.Format;
        if (format.SubBlocks > 0 && blocks.SubScales.AsSpan().ContainsAnyExcept((byte)(format.ScaleOffset + 1))) return null;
        var zeros = new int[blocks.Scales.Length];
        for (int block = 0; block < zeros.Length; block++)
        {
            int? zero = format.Kind switch
            {
                BlockKind.Signed => 1 << (format.Bits - 1),
                BlockKind.HalfMinimum => HalfZero((float)blocks.Scales[block], (float)blocks.Minima[block]),
                _ => IntegerZero(blocks, block),
            };
            if (zero is null || zero > (1 << format.Bits) - 1) return null;
            zeros[block] = zero.Value;
        }
        return zeros;
    }

    private static int? HalfZero(float scale, float minimum)
    {
        if (scale == 0) return minimum == 0 ? 0 : null;
        float zero = MathF.Round(-minimum / scale);
        return zero >= 0 && zero * scale == -minimum ? (int)zero : null;
    }

    private static int? IntegerZero(BlockMatrix blocks, int block)
    {
        ReadOnlySpan<byte> minima = blocks.SubMinima.AsSpan(block * blocks.Format.SubBlocks, blocks.Format.SubBlocks);
        return blocks.Scales[block] == blocks.Minima[block] && !minima.ContainsAnyExcept(minima[0]) ? minima[0] : null;
    }

    private static UniformWeight Uniform(BlockMatrix blocks, int[] zeros)
    {
        BlockFormat format = blocks.Format;
        bool symmetric = format.Kind == BlockKind.Signed;
        var scales = new float[zeros.Length];
        for (int block = 0; block < zeros.Length; block++)
        {
            float scale = (float)blocks.Scales[block];
            Span<byte> codes = blocks.Codes.AsSpan(block * format.Elements, format.Elements);
            if (scale == 0) codes.Fill((byte)zeros[block]);
            else if (symmetric) ToUnsigned(format, codes);
            scales[block] = scale == 0 ? SmallestHalf : format.Type == GgmlType.Q2_0 ? -scale : scale;
        }
        int run = SharedRun(blocks.Rows, blocks.PerRow, (row, i) => (scales[(row * blocks.PerRow) + i], zeros[(row * blocks.PerRow) + i]));
        int groups = scales.Length / run;
        var grid = run == blocks.PerRow
            ? new UniformGrid(format.Bits, symmetric, Granularity.Channel)
            : new UniformGrid(format.Bits, symmetric, Granularity.Group, run * format.Elements);
        return new UniformWeight(
            blocks.Rows, blocks.Columns, grid, blocks.Codes,
            [.. Enumerable.Range(0, groups).Select(group => scales[group * run])],
            symmetric ? null : [.. Enumerable.Range(0, groups).Select(group => (byte)zeros[group * run])],
            ScaleType.Float16);
    }

    private static AffineWeight Affine(BlockMatrix blocks)
    {
        float[] scales = [.. blocks.Scales.Select(scale => (float)scale)], minima = [.. blocks.Minima.Select(minimum => (float)minimum)];
        for (int block = 0; block < scales.Length; block++)
        {
            if (scales[block] != 0) continue;
            blocks.Codes.AsSpan(block * blocks.Format.Elements, blocks.Format.Elements).Clear();
            scales[block] = SmallestHalf;
        }
        int run = SharedRun(blocks.Rows, blocks.PerRow, (row, i) => (scales[(row * blocks.PerRow) + i], minima[(row * blocks.PerRow) + i])), groups = scales.Length / run;
        return new AffineWeight(
            blocks.Rows, blocks.Columns, new AffineGrid(blocks.Format.Bits, run * blocks.Format.Elements), blocks.Codes,
            [.. Enumerable.Range(0, groups).Select(group => scales[group * run])], [.. Enumerable.Range(0, groups).Select(group => minima[group * run])], ScaleType.Float16);
    }

    private static void ToUnsigned(BlockFormat format, Span<byte> codes)
    {
        int zero = 1 << (format.Bits - 1);
        for (int i = 0; i < codes.Length; i++) codes[i] = (byte)(format.Difference(codes[i]) + zero);
    }

    /// <summary>The largest number of neighbouring blocks that divides every row into runs of equal parameters.</summary>
    private static int SharedRun(int rows, int perRow, Func<int, int, (float Scale, float Zero)> parameters)
    {
        int run = perRow;
        for (int row = 0; row < rows && run > 1; row++)
        {
            for (int i = 1; i < perRow; i++)
            {
                if (parameters(row, i) != parameters(row, i - 1)) run = Gcd(run, i);
            }
        }
        return run;
    }

    private static int Gcd(int a, int b)
    {
        while (b != 0) (a, b) = (b, a % b);
        return a;
    }

    private static TwoLevelWeight TwoLevel(BlockMatrix blocks)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(blocks.Format.Type.ToString())!;
        sbyte[] factors = [.. blocks.SubScales.Select(stored => (sbyte)(stored - blocks.Format.ScaleOffset))];
        return new TwoLevelWeight(
            blocks.Rows, blocks.Columns, grid, blocks.Codes,
            new TwoLevelScales(blocks.Scales, factors, grid.Symmetric ? null : blocks.Minima, grid.Symmetric ? null : blocks.SubMinima));
    }
}
