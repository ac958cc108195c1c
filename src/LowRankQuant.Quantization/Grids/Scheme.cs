using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>How weights are quantized, whatever the method.</summary>
/// <param name="Grid">The grid of every layer that <see cref="Layers"/> does not name.</param>
/// <param name="Start">How its first steps and zero points are found.</param>
/// <param name="ScaleType">The type in which scales are stored.</param>
public sealed record Scheme(WeightGrid Grid, GridStart Start, ScaleType ScaleType)
{
    /// <summary>Significant bits that a stored scale may have, where a container multiplies it by zero points; null for all that its type has.</summary>
    public int? ScaleDigits { get; init; }

    /// <summary>
    /// The largest magnitude of all weights that an engine runs as one matrix with this one, where they share a scale of the matrix (<see cref="FloatScaling.Float8"/>); null for that of
    /// the weight alone.
    /// </summary>
    public float? FusedLargest { get; init; }

    /// <summary>Layers with a scheme of their own, by name within the block, or by module path where blocks differ; null for none.</summary>
    public IReadOnlyDictionary<string, Scheme>? Layers { get; init; }

    /// <summary>The scheme of a layer.</summary>
    /// <param name="linear">Module path, such as <c>model.layers.3.mlp.down_proj</c>; the name within the block will do where all blocks are alike.</param>
    public Scheme For(string linear)
    {
        if (Layers is null) return this;
        if (Layers.TryGetValue(linear, out Scheme? own)) return own;
        for (int dot = linear.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = linear.IndexOf('.', dot + 1))
        {
            if (Layers.TryGetValue(linear[(dot + 1)..], out own)) return own;
        }
        return this;
    }

    /// <summary>The grid of a layer for which a plan may have chosen one.</summary>
    /// <param name="linear">Module path.</param>
    /// <param name="planned">The plan's grid, or null without one.</param>
    public WeightGrid GridOf(string linear, WeightGrid? planned) => planned ?? For(linear).Grid;

    /// <summary>Stored bits per weight over linears, by their module paths.</summary>
    public double BitsPerWeight(IEnumerable<LinearShape> linears)
    {
        double bits = 0, weights = 0;
        foreach ((string name, int outFeatures, int inFeatures) in linears)
        {
            bits += For(name).Grid.StoredBits(outFeatures, inFeatures, ScaleType);
            weights += (double)outFeatures * inFeatures;
        }
        return bits / weights;
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        string digits = ScaleDigits is { } count ? $" of {count} significant bits" : "", layers = "";
        if (Layers is not null) layers = string.Concat(Layers.GroupBy(layer => layer.Value.Grid).Select(same => $"; {same.Key} in {string.Join(", ", same.Select(layer => layer.Key))}"));
        return $"{Grid}{layers}, {ScaleType} scales{digits}, {(Start == GridStart.MinMax ? "min-max" : "searched")} start";
    }
}
