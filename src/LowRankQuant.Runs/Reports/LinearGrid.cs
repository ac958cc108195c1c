using System.Globalization;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Runs.Reports;

/// <summary>The linears of a model that lie on one kind of grid.</summary>
/// <param name="Grid">The grid; null for linears on none that we know: floats, codes with a float minimum, or codes that name unequal levels.</param>
/// <param name="ScaleType">The stored type of its scales; null where there is no grid.</param>
/// <param name="BlockType">Type of the blocks, such as <c>IQ4_NL</c>, where a container has blocks and they hold no integer grid; else null.</param>
/// <param name="Linears">How many linears these are.</param>
/// <param name="Weights">Their weights.</param>
/// <param name="StoredBits">Bits of codes, scales, zero points and low-rank branches; null for floats of 16 bits and more, which are not quantized.</param>
public sealed record LinearGrid(WeightGrid? Grid, ScaleType? ScaleType, string? BlockType, int Linears, long Weights, long? StoredBits)
{
    /// <summary>Whether these linears take fewer bits than floats do.</summary>
    public bool IsQuantized => StoredBits is not null;

    /// <summary>In words, such as <c>w3 symmetric g32, Float16 scales</c>.</summary>
    public string Description => Grid is FloatGrid { HasByteScales: true } ? $"{Grid}" : Grid is not null ? $"{Grid}, {ScaleType} scales"
        : StoredBits is { } bits ? string.Create(CultureInfo.InvariantCulture, $"{(BlockType is null ? "no integer grid" : BlockType + " blocks")}, {(double)bits / Weights:0.####} bits")
        : "floats";
}
