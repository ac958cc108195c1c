using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>
/// Whether a quantized weight lies in GGUF blocks without any rounding: the smallest block type that holds it, or why none does and the nearest grid
/// that fits.
/// </summary>
/// <remarks>
/// A grid also fits blocks of more bits. So asymmetric grids of 2 and 3 bits, whose differences u - z stay within -7..7, fit Q4_0 with any half as
/// scale, and those of 4 bits Q5_0; with scales of 7 significant bits they fit Q4_1. Source of the mappings: <c>BlockFormat</c>.
/// </remarks>
public sealed record GgufFit
{
    private const int HalfBits = 11;
    private static readonly int[] GroupSizes = [32, 64, 128, 256];

    /// <summary>The smallest type that holds the weight; null when none does.</summary>
    public GgmlType? Type { get; private init; }

    /// <summary>Bits of a weight in the file; 0 when nothing fits.</summary>
    public double BitsPerWeight { get; private init; }

    /// <summary>Why nothing fits; null when something does.</summary>
    public string? Reason { get; private init; }

    /// <summary>The nearest grid that fits, when nothing does; null too when the rows themselves divide into no block.</summary>
    public GridAlternative? Nearest { get; private init; }

    /// <summary>What decided it; null for a grid that is a block's own.</summary>
    internal GridContent? Content { get; private init; }

    /// <summary>The smallest type that holds several weights, as one tensor needs it.</summary>
    /// <param name="fits">What holds each, with as many columns.</param>
    /// <returns>Null when no type holds all of them.</returns>
    public static GgmlType? Common(IReadOnlyList<GgufFit> fits)
    {
        if (fits.Select(fit => fit.Type).Distinct().Count() == 1) return fits[0].Type;
        if (fits.Any(fit => fit.Content is null || fit.Content.InFeatures != fits[0].Content!.InFeatures)) return null;
        return BlockFormat.Smallest(fits.Select(fit => fit.Content!).Aggregate((all, one) => all.And(one)))?.Type;
    }

    /// <summary>Looks at the codes, zero points and scales of a weight.</summary>
    public static GgufFit Of(QuantizedWeight weight) => weight switch
    {
        TwoLevelWeight native => Native(native.Grid),
        UniformWeight uniform => Of(GridContent.Of(uniform), uniform.Grid, uniform.ScaleType),
        AffineWeight affine => Affine(affine.Grid, affine.InFeatures, Array.TrueForAll(affine.Scales, GridContent.IsHalf) && Array.TrueForAll(affine.Minima, GridContent.IsHalf), affine.ScaleType),
        FloatWeight floats => Floats(floats.Grid, floats.InFeatures),
        _ => throw new NotSupportedException($"{weight.GetType().Name} has no GGUF form."),
    };

    /// <summary>What holds every weight on a grid, known before there is one.</summary>
    /// <param name="grid">The grid.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="scaleType">Stored type of the scales.</param>
    /// <param name="scaleBits">Significant bits to which scales are rounded; 11 is the whole half.</param>
    public static GgufFit Of(WeightGrid grid, int inFeatures, ScaleType scaleType, int scaleBits = HalfBits) => grid switch
    {
        TwoLevelGrid native when native.Divides(inFeatures) => Native(native),
        TwoLevelGrid native => Unfit(native, inFeatures, $"rows of {inFeatures} do not divide into {native.Name} blocks of {TwoLevelGrid.BlockSize}"),
        UniformGrid uniform => Of(GridContent.Of(uniform, inFeatures, scaleType, scaleBits), uniform, scaleType),
        AffineGrid affine => Affine(affine, inFeatures, scaleType == ScaleType.Float16, scaleType),
        FloatGrid floats => Floats(floats, inFeatures),
        _ => throw new NotSupportedException($"{grid.GetType().Name} has no GGUF form."),
    };

    /// <summary>
    /// The most significant bits of a scale with which a grid still lies in the smallest type it can lie in: 7 for 4-bit groups with zero points,
    /// which then fit Q4_1 instead of Q5_0, and 11, the whole half, where nothing is gained by fewer.
    /// </summary>
    /// <param name="grid">The grid.</param>
    /// <param name="inFeatures">Columns.</param>
    public static int ScaleBits(WeightGrid grid, int inFeatures)
    {
        int best = HalfBits;
        double smallest = double.PositiveInfinity;
        for (int bits = HalfBits; bits > 0; bits--)
        {
            GgufFit fit = Of(grid, inFeatures, ScaleType.Float16, bits);
            if (fit.Type is null || fit.BitsPerWeight >= smallest) continue;
            smallest = fit.BitsPerWeight;
            best = bits;
        }
        return best;
    }

    private static GgufFit Of(GridContent content, UniformGrid grid, ScaleType scaleType)
    {
        if (BlockFormat.Smallest(content) is { } format) return new GgufFit { Type = format.Type, BitsPerWeight = format.BitsPerWeight, Content = content };
        return Unfit(grid, content.InFeatures, Explain(content, scaleType));
    }

    private static GgufFit Native(TwoLevelGrid grid)
    {
        var type = Enum.Parse<GgmlType>(grid.Name);
        return new GgufFit { Type = type, BitsPerWeight = BlockFormat.Find(type)!.BitsPerWeight };
    }

    // Scale and minimum of a group are those of every block in it.
    private static GgufFit Affine(AffineGrid grid, int inFeatures, bool areHalves, ScaleType scaleType)
    {
        BlockFormat? format = BlockFormat.OfMinima(grid);
        if (format is not null && areHalves && format.Divides(inFeatures, grid.GroupSize)) return new GgufFit { Type = format.Type, BitsPerWeight = format.BitsPerWeight };
        return Unfit(grid, inFeatures, format is null ? "no block with a float minimum has more than 5 bits"
            : inFeatures % format.Elements != 0 ? $"rows of {inFeatures} do not divide into blocks of {format.Elements}"
            : grid.GroupSize % format.Elements != 0 ? $"groups of {grid.GroupSize} are no whole number of blocks of {format.Elements}"
            : $"scales and minima stored as {scaleType} are not all IEEE halves, the only type of a block's");
    }

    // Codes and scales of mxfp4 are the block's own.
    private static GgufFit Floats(FloatGrid grid, int inFeatures)
    {
        if (grid != FloatGrid.Mxfp4) return Unfit(grid, inFeatures, $"no block holds floats of {grid.Bits} bits with {(grid.HasByteScales ? "such" : "float")} scales; the only one for floats is MXFP4");
        if (!grid.Divides(inFeatures)) return Unfit(grid, inFeatures, $"rows of {inFeatures} do not divide into MXFP4 blocks of {grid.GroupSize}");
        (int elements, int bytes) = GgmlType.MXFP4.Block();
        return new GgufFit { Type = GgmlType.MXFP4, BitsPerWeight = 8.0 * bytes / elements };
    }

    private static GgufFit Unfit(WeightGrid grid, int inFeatures, string reason) => new() { Reason = reason, Nearest = FindNearest(grid, inFeatures) };

    private static string Explain(GridContent content, ScaleType scaleType)
    {
        int smallest = BlockFormat.All.Min(format => format.Elements);
        if (content.InFeatures % smallest != 0) return $"rows of {content.InFeatures} do not divide into blocks of {smallest}";
        if (content.GroupSize % smallest != 0) return $"groups of {content.GroupSize} are no whole number of blocks of {smallest}";
        if (!content.ScalesAreHalves) return $"scales stored as {scaleType} are not all IEEE halves, the only type of a block's scale";
        return "codes less zero points reach beyond 8 signed bits, and no block with zero points has more than 5 bits";
    }

    /// <summary>
    /// Preferably the same symmetry, then the group size nearest by ratio, then the fewest bits in the file; of what lies in the same blocks the widest codes,
    /// which cost nothing there.
    /// </summary>
    private static GridAlternative? FindNearest(WeightGrid wanted, int inFeatures)
    {
        double size = wanted switch
        {
            UniformGrid { Granularity: Granularity.Group } grouped => grouped.GroupSize,
            TwoLevelGrid native => native.GroupSize,
            AffineGrid affine => affine.GroupSize,
            FloatGrid { GroupSize: > 0 } floats => floats.GroupSize,
            _ => inFeatures,
        };
        var candidates = new List<(GridAlternative Grid, int Kind, double Distance)>();
        foreach (bool symmetric in (ReadOnlySpan<bool>)[true, false])
        {
            var row = new UniformGrid(wanted.Bits, symmetric, Granularity.Channel);
            Add(row, inFeatures);
            if (wanted is UniformGrid { Granularity: not Granularity.Group } whole) Add(whole with { Symmetric = symmetric }, inFeatures);
            foreach (int group in GroupSizes.Append((int)size)) Add(new UniformGrid(wanted.Bits, symmetric, Granularity.Group, group), group);
        }
        foreach (TwoLevelGrid native in TwoLevelGrid.All.Where(native => native.Bits == wanted.Bits)) Add(native, native.GroupSize);
        GridAlternative? nearest = candidates.OrderBy(found => found.Kind).ThenBy(found => found.Distance).ThenBy(found => found.Grid.BitsPerWeight)
            .Select(found => found.Grid).FirstOrDefault();
        while (nearest is { Grid: UniformGrid { Bits: < UniformGrid.MaxBits } narrow } && narrow with { Bits = narrow.Bits + 1 } is var wider
            && FormatOf(wider, inFeatures)?.Type == nearest.Type)
        {
            nearest = nearest with { Grid = wider };
        }
        return nearest;

        void Add(WeightGrid grid, double group)
        {
            if (!grid.Divides(inFeatures) || FormatOf(grid, inFeatures) is not { } format) return;
            var alternative = new GridAlternative(grid, ScaleType.Float16, format.Type, format.BitsPerWeight);
            candidates.Add((alternative, grid.Symmetric == wanted.Symmetric ? 0 : 1, Math.Abs(Math.Log2(group / size))));
        }

        static BlockFormat? FormatOf(WeightGrid grid, int inFeatures) => grid is TwoLevelGrid native
            ? BlockFormat.Find(Enum.Parse<GgmlType>(native.Name))
            : BlockFormat.Smallest(GridContent.Of((UniformGrid)grid, inFeatures, ScaleType.Float16, HalfBits));
    }
}
