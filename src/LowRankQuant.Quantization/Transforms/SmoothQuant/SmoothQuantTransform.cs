using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;

namespace LowRankQuant.Quantization.Transforms.SmoothQuant;

/// <summary>Which inputs are smoothed.</summary>
public enum SmoothSites
{
    /// <summary>Those behind norms, as the paper has it.</summary>
    Norms,

    /// <summary>All whose fold is exact: also those of output and down projections.</summary>
    All,
}

/// <summary>Choices of SmoothQuant.</summary>
public sealed record SmoothQuantOptions
{
    /// <summary>How much of the range moves from activations to weights, 0 to 1.</summary>
    public double Alpha { get; init; } = 0.8;

    /// <summary>Which inputs.</summary>
    public SmoothSites Sites { get; init; } = SmoothSites.All;

    /// <summary>
    /// Alphas of which every block takes the best by <see cref="BlockTransformContext.Error"/>, in the place of <see cref="Alpha"/>; empty for no search.
    /// </summary>
    public IReadOnlyList<double> Search { get; init; } = [];

    /// <summary>The alphas of a search where nothing else is said. At 1 every channel's largest value is 1, and a zero point lies between two numbers.</summary>
    public static IReadOnlyList<double> UsualSearch { get; } = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
}

/// <summary>
/// SmoothQuant (Xiao et al., ICML 2023): channels of an input with outliers are divided by a factor in front of the linears that read it, and these linears' columns are
/// multiplied by it, so that activations become easier to quantize and weights harder. All maxima are those of the block as it comes.
/// </summary>
/// <param name="options">Choices.</param>
public sealed class SmoothQuantTransform(SmoothQuantOptions options) : IBlockTransform
{
    /// <inheritdoc/>
    public string Name => "smoothquant";

    /// <inheritdoc/>
    public bool NeedsInputs => true;

    /// <inheritdoc/>
    public bool Searches => options.Search.Count > 0;

    /// <inheritdoc/>
    public BlockTransformResult Apply(BlockTransformContext context)
    {
        foreach (double alpha in options.Search.Prepend(options.Alpha))
        {
            if (!(alpha is >= 0 and <= 1)) throw new TransformException($"SmoothQuant: alpha is {alpha}; it lies between 0 and 1.");
        }
        IDecoderBlock block = context.Block;
        FoldSite[] sites = SitesOf(block);
        SmoothFactors[] factors = Factors(context, sites);
        SearchedSetting? search = null;
        if (options.Search.Count > 0)
        {
            Func<IDecoderBlock, double> errorOf = context.Error ?? throw new TransformException("SmoothQuant: alphas are searched, and nothing says how good a block is; give one alpha.");
            search = SearchedSetting.Search(options.Search, alpha =>
            {
                using var undo = new FoldUndo();
                Fold(sites, factors, alpha, undo);
                return errorOf(block);
            }, context.Cancellation);
        }
        double chosen = search?.Value ?? options.Alpha;
        return new BlockTransformResult
        {
            State = sites.Select((site, i) => (Key: SiteInputs.KeyOf(site), Factors: factors[i].At(chosen))).ToDictionary(pair => pair.Key, pair => pair.Factors, StringComparer.Ordinal),
            Sites = Fold(sites, factors, chosen, null),
            Changes = block.Changes(weights: false),
            Refused = [.. block.Folds.Refused.Where(refused => options.Sites == SmoothSites.All || refused.Kind == FoldKind.Norm)],
            Search = search,
        };
    }

    /// <inheritdoc/>
    public void Restore(IDecoderBlock block, IReadOnlyDictionary<string, float[]> state) => SiteInputs.Restore(block, SitesOf(block), state, "smoothing");

    private FoldSite[] SitesOf(IDecoderBlock block) => [.. block.Folds.Sites.Where(site => options.Sites == SmoothSites.All || site.Kind == FoldKind.Norm)];

    private static SmoothFactors[] Factors(BlockTransformContext context, FoldSite[] sites)
    {
        if (sites.Length == 0) return [];
        IReadOnlyList<ChannelRange> ranges = ChannelRange.Collect(
            context.Block, sites, context.Inputs ?? throw new TransformException("SmoothQuant looks at the inputs of blocks, and there are none; give calibration texts."),
            context.LookedAt, context.Cancellation);
        // All of them before anything is folded: v and up are readers of one site and stand in front of another.
        return [.. sites.Select((site, i) => new SmoothFactors(site, ranges[i]))];
    }

    private static TransformedSite[] Fold(FoldSite[] sites, SmoothFactors[] factors, double alpha, FoldUndo? undo)
    {
        var folded = new TransformedSite[sites.Length];
        for (int i = 0; i < sites.Length; i++)
        {
            float[] own = factors[i].At(alpha);
            sites[i].Fold(own, undo);
            folded[i] = new TransformedSite(sites[i].Kind, sites[i].Source, [.. sites[i].Slots.Select(slot => slot.Name)], own.Min(), own.Max());
        }
        return folded;
    }
}
