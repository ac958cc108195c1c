namespace LowRankQuant.Runs;

/// <summary>What a quantization run writes.</summary>
public enum OutputFormat
{
    /// <summary>Packed codes and scales in compressed-tensors layout.</summary>
    CompressedTensors,

    /// <summary>The dequantized weights as an ordinary fp16 checkpoint.</summary>
    Dense,
}
