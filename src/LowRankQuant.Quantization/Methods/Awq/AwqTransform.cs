using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>
/// The scales of AWQ (Lin et al., MLSys 2024): channels whose inputs are large are divided in front of the linears that read them, and the linears' columns multiplied, so that rounding
/// costs less where it is felt most. All sites are searched on the block as it comes (<see cref="AwqSearch"/>) before any is folded.
/// </summary>
/// <param name="options">Choices.</param>
internal sealed class AwqTransform(AwqOptions options) : IBlockTransform
{
    /// <summary>Its name in reports.</summary>
    public const string Named = "awq scales";

    /// <inheritdoc/>
    public string Name => Named;

    /// <inheritdoc/>
    public bool NeedsInputs => true;

    /// <inheritdoc/>
    public BlockTransformResult Apply(BlockTransformContext context)
    {
        IDecoderBlock block = context.Block;
        ActivationStream inputs = context.Inputs ?? throw new TransformException("AWQ looks at the inputs of blocks, and there are none; give calibration texts.");
        Scheme scheme = context.Scheme ?? throw new TransformException("AWQ rounds weights as they will be rounded, and nothing says how.");
        IReadOnlyList<AwqChoice> choices = new AwqSearch(block, inputs, context.LookedAt, scheme, options, context.Cancellation).Find(SitesOf(block));
        var state = choices.ToDictionary(choice => SiteInputs.KeyOf(choice.Site), choice => (float[])choice.Factors.Clone(), StringComparer.Ordinal);
        foreach (AwqChoice choice in choices) choice.Site.Fold(choice.Factors);
        return new BlockTransformResult
        {
            State = state,
            Sites = [.. choices.Select(Folded)],
            Changes = block.Changes(weights: false),
            Refused =
            [
                .. block.Folds.Refused.Where(refused => options.Sites != AwqSites.Norms || refused.Kind == FoldKind.Norm),
                .. options.Sites != AwqSites.Ungrouped ? [] : block.Folds.Sites.Where(IsGrouped).Select(site => new RefusedFold(site.Readers[0], site.Slots[0].Name, site.Kind, $"{site.Group} query heads share a head of values")),
            ],
        };
    }

    /// <inheritdoc/>
    public void Restore(IDecoderBlock block, IReadOnlyDictionary<string, float[]> state) => SiteInputs.Restore(block, SitesOf(block), state, Named);

    private static TransformedSite Folded(AwqChoice choice) =>
        new(choice.Site.Kind, choice.Site.Source, [.. choice.Site.Slots.Select(slot => slot.Name)], choice.Factors.Min(), choice.Factors.Max()) { Chosen = choice.Candidate.ToString() };

    private static bool IsGrouped(FoldSite site) => site is { Kind: FoldKind.Values, Group: > 1 };

    private FoldSite[] SitesOf(IDecoderBlock block) => [.. block.Folds.Sites.Where(site => options.Sites switch
    {
        AwqSites.Norms => site.Kind == FoldKind.Norm,
        AwqSites.Ungrouped => !IsGrouped(site),
        _ => true,
    })];
}

/// <summary>The same as what a method does to blocks.</summary>
/// <param name="Options">Choices.</param>
internal sealed record AwqTransformSettings(AwqOptions Options) : TransformSettings
{
    /// <inheritdoc/>
    public override string Name => AwqTransform.Named;

    /// <summary>None: they are values of the method.</summary>
    public override IReadOnlyList<KeyValuePair<string, string>> Values => [];

    /// <inheritdoc/>
    public override bool NeedsInputs => true;

    /// <inheritdoc/>
    public override IBlockTransform Create(CausalModel model, ulong seed) => new AwqTransform(Options);

    /// <inheritdoc/>
    public override string Describe() =>
        $"channels scaled at {Choices.Of(AwqMethod.SiteNames, Options.Sites)} sites, the best of {Options.Candidates} candidates each";
}
