using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Lrq;

/// <summary>LRQ (Lee et al., NAACL 2025): D = L2 U2 + r2 + c2 of low rank in every weight.</summary>
public sealed class LrqMethod : LearnedRoundingMethod
{
    /// <summary>A rank that means: as large as each matrix allows.</summary>
    public const int FullRank = int.MaxValue;

    private const int FastRank = 128;
    private const int PaperRank = 1024;
    private const int PaperRankLarge = 2048;

    // From here on the paper's larger rank; the paper's sizes are 7, 13, 33, 65 and 70 billion.
    private const double LargeModel = 30e9;

    /// <summary>Rank of the scaling matrices.</summary>
    public static RecipeOption<int> Rank { get; } = RankOption("rank", "Rank of the scaling matrices L2 U2, or full: as large as each matrix allows");

    /// <summary>Whether D has r2.</summary>
    public static RecipeOption<bool> RowOffset { get; } = Declare.Flag("row_offset", "Learn r2, an exponent for every output, beside L2 U2", "true");

    /// <summary>Whether D has c2.</summary>
    public static RecipeOption<bool> ColumnOffset { get; } = Declare.Flag("column_offset", "Learn c2, an exponent for every input, beside L2 U2", "true");

    /// <inheritdoc/>
    public override string Name => "lrq";

    /// <inheritdoc/>
    public override string Summary => "rounding learned block by block, with scales that are low-rank matrices";

    /// <inheritdoc/>
    public override string Source => "Lee et al., LRQ, NAACL 2025";

    /// <inheritdoc/>
    public override bool HonoursTokenMask => true;

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [Rank, RowOffset, ColumnOffset, .. base.Options];

    /// <summary>An option that is a rank of L2 U2.</summary>
    internal static RecipeOption<int> RankOption(string key, string help) => Declare.Whole(
        key, help, "inner dimension of L2 U2, or full", 1, int.MaxValue, $"{FastRank}", $"{PaperRank}; {PaperRankLarge} from 30 billion parameters", ("full", FullRank));

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        (double rate, GridStart start) = LearningRates.Of(request, ScaleForm.LowRank);
        return new LrqSettings
        {
            Rank = ResolveRank(request, Rank),
            HasRowOffset = request.Values.Or(RowOffset, true),
            HasColumnOffset = request.Values.Or(ColumnOffset, true),
            Steps = Training(request, rate),
            First = LearnedStart.Resolve(request, start),
            AlwaysSearched = request.AllTwoLevel,
        };
    }

    /// <summary>The rank that was asked for or that the preset has, cut to the model.</summary>
    internal static int ResolveRank(MethodRequest request, RecipeOption<int> option)
    {
        IReadOnlyList<LinearShape> linears = request.Linears;
        int largest = linears.Count == 0 ? int.MaxValue : linears.Max(linear => Math.Min(linear.OutFeatures, linear.InFeatures));
        int asked = request.Values.Or(option, !request.IsPaper ? FastRank : request.Parameters >= LargeModel ? PaperRankLarge : PaperRank);
        if (asked == FullRank) return largest;
        if (asked > largest) request.Notes.Add($"Rank {asked} is cut to {largest}: no matrix of the model has a larger one.");
        else if (linears.Where(linear => asked > Math.Min(linear.OutFeatures, linear.InFeatures)).Select(linear => linear.Name).ToArray() is { Length: > 0 } small)
            request.Notes.Add($"Rank {asked} is cut to the matrix in {string.Join(", ", small)}.");
        return Math.Min(asked, largest);
    }
}

/// <summary>LRQ, resolved.</summary>
internal sealed record LrqSettings : ScaledSettings
{
    /// <summary>Inner dimension of L2 U2.</summary>
    public required int Rank { get; init; }

    /// <summary>Whether r2 is learned.</summary>
    public bool HasRowOffset { get; init; } = true;

    /// <summary>Whether c2 is learned.</summary>
    public bool HasColumnOffset { get; init; } = true;

    /// <inheritdoc/>
    public override string Method => "lrq";

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, string>> Own =>
    [
        LrqMethod.Rank.With(Rank), .. HasRowOffset ? [] : new[] { LrqMethod.RowOffset.With(false) }, .. HasColumnOffset ? [] : new[] { LrqMethod.ColumnOffset.With(false) },
    ];

    /// <inheritdoc/>
    public override ScaleShape ShapeOf(int outFeatures, int inFeatures) => ScaleShape.LowRankFor(outFeatures, inFeatures, Rank) with { HasRowOffset = HasRowOffset, HasColumnOffset = HasColumnOffset };

    /// <inheritdoc/>
    public override string Describe() => $"rounding learned with scaling matrices of rank {Rank}{(HasRowOffset ? "" : ", without r2")}{(HasColumnOffset ? "" : ", without c2")}, first {GridNames.Describe(Start)}";
}
