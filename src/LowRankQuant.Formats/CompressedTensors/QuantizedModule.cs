using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>One quantized linear, as far as a model's configuration is concerned.</summary>
/// <param name="Name">Full module name.</param>
/// <param name="Grid">Weight grid.</param>
/// <param name="InputActivations">Quantization of its inputs, or null.</param>
public sealed record QuantizedModule(string Name, UniformGrid Grid, QuantizationArgs? InputActivations = null)
{
    /// <summary>Storage of the weight: packed when it is quantized alone, one code a byte when the inputs are quantized too.</summary>
    public string Format => InputActivations is null ? "pack-quantized" : "int-quantized";
}
