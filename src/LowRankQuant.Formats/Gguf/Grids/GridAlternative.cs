using System.Globalization;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>A grid that fits where another does not.</summary>
/// <param name="Grid">The grid.</param>
/// <param name="ScaleType">Stored type of its scales.</param>
/// <param name="Type">The block type that holds it.</param>
/// <param name="BitsPerWeight">Bits of a weight in the file.</param>
public sealed record GridAlternative(WeightGrid Grid, ScaleType ScaleType, GgmlType Type, double BitsPerWeight)
{
    /// <summary>Such as <c>w4 asymmetric channel with Float16 scales (Q4_K, 4.5 bits per weight)</c>.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Grid} with {ScaleType} scales ({Type}, {BitsPerWeight:0.####} bits per weight)");
}
