using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>One quantized linear, as far as a model's configuration is concerned.</summary>
/// <param name="Name">Full module name.</param>
/// <param name="Grid">Weight grid.</param>
/// <param name="InputActivations">Quantization of its inputs, or null.</param>
/// <param name="OutputActivations">Quantization of its outputs, or null.</param>
/// <param name="AskedFormat">Storage of the weight where it is not what the library would choose; else null.</param>
public sealed record QuantizedModule(
    string Name, WeightGrid Grid, QuantizationArgs? InputActivations = null, QuantizationArgs? OutputActivations = null, string? AskedFormat = null)
{
    /// <summary>Storage of the weight: of integers packed when it is quantized alone, one code a byte when the inputs are quantized too; of floats that of their grid.</summary>
    public string Format => AskedFormat ?? (Grid is FloatGrid floats ? FloatTensors.FormatOf(floats) : InputActivations is null ? "pack-quantized" : "int-quantized");

    /// <summary>Whether it is an embedding, which is of another class than linears and so is named by itself.</summary>
    public bool IsTable { get; init; }

    /// <summary>Whether both can be in one group of the configuration.</summary>
    internal bool SharesSchemeWith(QuantizedModule other) => this with { Name = other.Name, IsTable = other.IsTable } == other;
}
