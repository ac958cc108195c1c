using System.Globalization;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>
/// A scheme by its name, as papers and engines call it: widths of weights and activations, perhaps groups of weights.
/// <code>
/// w8a8            8-bit weights; 8-bit activations, static per tensor, smoothed at all sites; 8-bit keys and values     LRQ (i)
/// w8a8-dynamic    the same with activations per token, not smoothed
/// w4a8            4-bit weights; 8-bit activations per token; 8-bit keys and values                                     LRQ (ii)
/// w4a4            4-bit weights and activations per token, rotated; 8-bit keys and values
/// w4a16 w3a16 w2a16   weights alone                                                                                     LRQ (iii)
/// fp8             8-bit float weights per row, and activations per token (FP8_DYNAMIC of llm-compressor)
/// fp8-block       8-bit float weights per 128 x 128, and activations per 128 inputs of a token (FP8_BLOCK)
/// nvfp4a16 mxfp4a16 mxfp8a16   float weights in groups of 16 or 32 alone
/// -gN             behind any of them: N weights of a row share a scale, instead of a whole row
/// </code>
/// Keys and values are quantized per token over all heads, keys before their rotation, as LRQ's authors do. 8-bit weights beside 8-bit activations are symmetric, since engines
/// multiply integers so; all others are asymmetric, as the papers have them.
/// </summary>
/// <param name="Name">The name without groups.</param>
/// <param name="Bits">Bits of weights.</param>
/// <param name="Symmetric">Whether weights are symmetric.</param>
/// <param name="Activations">Grid of activations; null for floats.</param>
/// <param name="Transform">The transform that belongs to it; null for none.</param>
public sealed record NamedScheme(string Name, int Bits, bool Symmetric, ActivationGrid? Activations, string? Transform)
{
    private static readonly NamedScheme[] Known =
    [
        new("w8a8", 8, true, new ActivationGrid(8, false, ActivationScope.Tensor), "smoothquant"),
        new("w8a8-dynamic", 8, true, new ActivationGrid(8, false, ActivationScope.Token), null),
        new("w4a8", 4, false, new ActivationGrid(8, false, ActivationScope.Token), null),
        new("w4a4", 4, false, new ActivationGrid(4, false, ActivationScope.Token), "rotation"),
        new("w4a16", 4, false, null, null),
        new("w3a16", 3, false, null, null),
        new("w2a16", 2, false, null, null),
        new("fp8", 8, true, ActivationGrid.Float8Token, null) { Grid = FloatGrid.Fp8 },
        new("fp8-block", 8, true, ActivationGrid.Float8Groups, null) { Grid = FloatGrid.Fp8Block },
        new("nvfp4a16", 4, true, null, null) { Grid = FloatGrid.Nvfp4 },
        new("mxfp4a16", 4, true, null, null) { Grid = FloatGrid.Mxfp4 },
        new("mxfp8a16", 8, true, null, null) { Grid = FloatGrid.Mxfp8 },
    ];

    /// <summary>All names, for messages.</summary>
    public static string Names => string.Join(", ", Known.Select(scheme => scheme.Name));

    /// <summary>The grid of floats that weights have; null for integers.</summary>
    public FloatGrid? Grid { get; init; }

    /// <summary>Weights of a group; null for whole rows.</summary>
    public int? GroupSize { get; init; }

    /// <summary>Keys and values beside quantized activations.</summary>
    public static CacheRecipe UsualCache { get; } = new(new ActivationGrid(8, false, ActivationScope.Token), true, new RangeOptions(RangeRule.MinMax));

    /// <summary>The scheme of a name; null where there is none.</summary>
    public static NamedScheme? Find(string name)
    {
        string plain = name.ToLowerInvariant();
        int end = plain.LastIndexOf("-g", StringComparison.Ordinal);
        int? group = null;
        if (end > 0 && int.TryParse(plain[(end + 2)..], NumberStyles.None, CultureInfo.InvariantCulture, out int size) && size > 0) (plain, group) = (plain[..end], size);
        // Floats have their own groups.
        return Known.FirstOrDefault(scheme => scheme.Name == plain && (group is null || scheme.Grid is null)) is { } known ? known with { GroupSize = group } : null;
    }
}
