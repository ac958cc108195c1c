using System.Globalization;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Activations;

/// <summary>How the inputs of linears are quantized, resolved. Linears that share an input share its quantizer.</summary>
/// <param name="Grid">The grid: static for a whole tensor, or dynamic per token.</param>
/// <param name="Range">How a static range is found.</param>
/// <param name="PerToken">Linears whose input is quantized per token though the grid is static, by patterns; empty for none.</param>
public sealed record ActivationRecipe(ActivationGrid Grid, RangeOptions Range, IReadOnlyList<string> PerToken)
{
    /// <summary>The same grid with steps from every token's own values.</summary>
    public ActivationGrid TokenGrid => Grid.IsDynamic ? Grid : new(Grid.Bits, Grid.Symmetric, ActivationScope.Token, Grid.Rule);

    /// <summary>In a few words.</summary>
    public override string ToString() => Grid.Floats is { } floats ? $"8-bit float activations ({floats}), per {(Grid.GroupSize > 0 ? $"{Grid.GroupSize} inputs of a token" : "token")}"
        : $"{Grid.Bits}-bit activations, {(Grid.Symmetric ? "symmetric" : "asymmetric")}, " + (Grid.IsDynamic
        ? "per token"
        : $"static per tensor, ranges by {RangeNames.Describe(Range)}{(PerToken.Count == 0 ? "" : $", per token in {string.Join(", ", PerToken)}")}");
}

/// <summary>How keys and values are quantized as attention remembers them, resolved.</summary>
/// <param name="Grid">The grid.</param>
/// <param name="BeforeRotation">Whether keys are quantized in front of their rotation, as LRQ's authors do; else behind it, as engines store them.</param>
/// <param name="Range">How a static range is found.</param>
public sealed record CacheRecipe(ActivationGrid Grid, bool BeforeRotation, RangeOptions Range)
{
    /// <summary>Whether a checkpoint can say it: static steps, of the tensor or of heads, behind the rotation. Others live in the recipe alone.</summary>
    public bool IsStorable => !Grid.IsDynamic && !BeforeRotation && Grid.Rule == ActivationRule.CompressedTensors;

    /// <summary>In a few words.</summary>
    public override string ToString() => $"{Grid.Bits}-bit keys and values, {(Grid.Symmetric ? "symmetric" : "asymmetric")}, "
        + $"{Grid.Scope switch { ActivationScope.Token => "per token", ActivationScope.TokenHead => "per token and head", ActivationScope.Head => "static per head", _ => "static per tensor" }}, "
        + $"keys {(BeforeRotation ? "before" : "behind")} their rotation";
}

/// <summary>How rules for ranges are spelled: minmax, average, percentile:99.9, search.</summary>
public static class RangeNames
{
    private const string Percentile = "percentile";

    /// <summary>What a spelling may be.</summary>
    public const string Form = "minmax, average, percentile:P (such as percentile:99.9) or search";

    /// <summary>The rule of a spelling; null where it is none.</summary>
    public static RangeOptions? Parse(string text)
    {
        string[] parts = text.ToLowerInvariant().Split(':');
        switch (parts)
        {
            case ["minmax"]:
                return new RangeOptions(RangeRule.MinMax);
            case ["average"]:
                return new RangeOptions(RangeRule.MovingAverage);
            case ["search"]:
                return new RangeOptions(RangeRule.ErrorSearch);
            case [Percentile, var number] when double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out double percent) && percent is > 50 and <= 100:
                return new RangeOptions(RangeRule.Percentile, percent / 100);
            default:
                return null;
        }
    }

    /// <summary>The spelling of a rule.</summary>
    public static string Of(RangeOptions range) => range.Rule switch
    {
        RangeRule.MinMax => "minmax",
        RangeRule.MovingAverage => "average",
        RangeRule.ErrorSearch => "search",
        _ => string.Create(CultureInfo.InvariantCulture, $"{Percentile}:{(decimal)range.Percentile * 100:0.######}"),
    };

    /// <summary>A rule for people.</summary>
    public static string Describe(RangeOptions range) => range.Rule switch
    {
        RangeRule.MinMax => "least and largest value",
        RangeRule.MovingAverage => "a moving average over windows",
        RangeRule.ErrorSearch => "a search for the least error",
        _ => string.Create(CultureInfo.InvariantCulture, $"percentile {(decimal)range.Percentile * 100:0.######}"),
    };
}

/// <summary>How grids of activations are spelled: BITS:SCOPE[:symmetric|asymmetric], such as 8:token or 8:tensor:symmetric; fp8:token, fp8:128.</summary>
public static class ActivationNames
{
    /// <summary>What shares one step.</summary>
    public static IReadOnlyList<KeyValuePair<string, ActivationScope>> Scopes { get; } =
        [new("tensor", ActivationScope.Tensor), new("head", ActivationScope.Head), new("token", ActivationScope.Token), new("token-head", ActivationScope.TokenHead)];

    /// <summary>The spelling that asks for none.</summary>
    public const string Off = "off";

    private const string Float8 = "fp8";
    private static readonly string Group = FloatGrid.BlockSize.ToString(CultureInfo.InvariantCulture);

    /// <summary>The grid of a spelling; null where it is none, or has a scope that is not allowed.</summary>
    public static ActivationGrid? Parse(string text, params ReadOnlySpan<ActivationScope> allowed)
    {
        string[] parts = text.ToLowerInvariant().Split(':');
        if (parts is [Float8, var shared])
        {
            ActivationGrid? floats = shared == "token" ? ActivationGrid.Float8Token : shared == Group ? ActivationGrid.Float8Groups : null;
            return floats is not null && allowed.Contains(floats.Scope) && allowed.Contains(ActivationScope.TokenGroup) ? floats : null;
        }
        if (parts.Length is < 2 or > 3 || parts[0] is not ("4" or "8") || Choices.Parse(Scopes, parts[1]) is not { } scope || !allowed.Contains(scope)) return null;
        if (parts.Length == 3 && parts[2] is not ("symmetric" or "asymmetric")) return null;
        return new ActivationGrid(parts[0][0] - '0', parts is [_, _, "symmetric"], scope);
    }

    /// <summary>The spelling of a grid.</summary>
    public static string Of(ActivationGrid grid) => grid.Floats is not null ? $"{Float8}:{(grid.GroupSize > 0 ? Group : "token")}" : $"{grid.Bits}:{Choices.Of(Scopes, grid.Scope)}:{(grid.Symmetric ? "symmetric" : "asymmetric")}";
}
