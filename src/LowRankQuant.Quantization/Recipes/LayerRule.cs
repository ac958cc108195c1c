using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>A grid of their own, or none, for the linears that a pattern matches.</summary>
/// <param name="Match">The pattern, see <see cref="LinearPattern"/>.</param>
/// <param name="Grid">A grid with a name, or BITS[:GROUP][:symmetric|asymmetric|affine]; or <see cref="Keep"/>.</param>
public sealed record LayerRule(string Match, string Grid)
{
    /// <summary>In the place of a grid: the linears stay in their own type.</summary>
    public const string Keep = "keep";

    /// <summary>Whether the linears stay in their own type.</summary>
    public bool Keeps => Grid.Equals(Keep, StringComparison.OrdinalIgnoreCase);

    /// <summary>A rule as one text, PATTERN=GRID; what has no grid is told when it is resolved.</summary>
    public static LayerRule Of(string text)
    {
        // Expressions may hold the sign too.
        int equals = text.LastIndexOf('=');
        return equals < 0 ? new LayerRule(text.Trim(), "") : new LayerRule(text[..equals].Trim(), text[(equals + 1)..].Trim());
    }
}
